import { connect, type Socket } from 'node:net'
import { SourceError } from '../entry.ts'
import { networkFault } from '../network-faults.ts'

/** Without a byte for this long, while one is awaited, the server counts as gone. */
const timeoutMs = 30_000
const maxLineBytes = 64 * 1024
const newline = 10

/** A connection that is read line by line. A server waits while nothing is read. */
export class LineSocket {
  private readonly name: string
  private readonly socket: Socket
  private readonly blocks: AsyncIterator<Buffer>
  private block: Buffer = Buffer.alloc(0)
  private at = 0

  private constructor(name: string, socket: Socket) {
    this.name = name
    this.socket = socket
    this.blocks = socket[Symbol.asyncIterator]()
  }

  /** Connects. Throws a `SourceError`. */
  static async open(host: string, port: number): Promise<LineSocket> {
    const name = `${host.includes(':') ? `[${host}]` : host}:${port}`
    const socket = connect({ host, port })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', (error) => reject(new SourceError(`${name}: ${networkFault(error)}`)))
    })
    socket.on('timeout', () => socket.destroy(new Error(`no response within ${timeoutMs / 1000} s`)))
    return new LineSocket(name, socket)
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes)
  }

  /** Reads a line, without its end. Throws a `SourceError` if the connection ends. */
  async line(): Promise<Buffer> {
    for (;;) {
      const end = this.block.indexOf(newline, this.at)
      if (end !== -1) {
        const line = this.block.subarray(this.at, this.block[end - 1] === 13 ? end - 1 : end)
        this.at = end + 1
        return line
      }
      if (this.block.length - this.at > maxLineBytes) throw this.fault('a line does not end')
      await this.more()
    }
  }

  async bytes(length: number): Promise<Buffer> {
    while (this.block.length - this.at < length) await this.more()
    this.at += length
    return this.block.subarray(this.at - length, this.at)
  }

  fault(why: string): SourceError {
    return new SourceError(`${this.name}: ${why}`)
  }

  close(): void {
    this.socket.destroy()
  }

  private async more(): Promise<void> {
    let next: IteratorResult<Buffer>
    this.socket.setTimeout(timeoutMs)
    try {
      next = await this.blocks.next()
    } catch (error) {
      throw this.fault(networkFault(error))
    }
    this.socket.setTimeout(0)
    if (next.done) throw this.fault('the server closed the connection')
    this.block = Buffer.concat([this.block.subarray(this.at), next.value])
    this.at = 0
  }
}
