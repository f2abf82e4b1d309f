import { connect } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

/** A connection to a memcached port, on which a test says what it likes. Text is a letter for a byte. */
export interface TextClient {
  send(request: string | Uint8Array): void
  /** What the server has said since this was last asked, once that ends with these letters or the server closes. */
  until(ending: string): Promise<string>
  /** What the server has said since it was last asked, once it has closed. */
  rest(): Promise<string>
  /** Sends and waits until the response ends so. */
  ask(request: string | Uint8Array, ending: string): Promise<string>
  /** Bytes that have come so far. */
  received(): number
  isClosed(): boolean
  /** No more will be sent; responses are still read. */
  endInput(): void
  /** Stops and goes on reading. */
  pause(): void
  resume(): void
  destroy(): void
}

/** How long a test waits for the end of a response. */
const patienceMs = 50_000

/** `from` is the address of the client, one of this machine. With TLS where its options are given. */
export async function textClient(
  port: number,
  from = '127.0.0.1',
  tls?: ConnectionOptions,
): Promise<TextClient> {
  const to = { port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true }
  const socket = tls === undefined ? connect(to) : connectTls({ ...to, ...tls })
  let parts: string[] = []
  let tail = ''
  let bytes = 0
  let closed = false
  let wake = (): void => {}
  socket.on('data', (part: Buffer) => {
    bytes += part.length
    const text = part.toString('latin1')
    parts.push(text)
    tail = (tail + text).slice(-64)
    wake()
  })
  // The server has said all: as most clients do, this one then closes as well.
  socket.on('end', () => socket.end())
  socket.on('error', () => {})
  socket.on('close', () => {
    closed = true
    wake()
  })
  await new Promise((resolve, reject) => {
    socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve)
    socket.once('error', reject)
  })

  function said(): string {
    const text = parts.join('')
    parts = []
    tail = ''
    return text
  }

  async function notified(isDone: () => boolean, what: string): Promise<string> {
    const giveUpAtMs = performance.now() + patienceMs
    while (!isDone()) {
      const leftMs = giveUpAtMs - performance.now()
      if (leftMs <= 0) throw new Error(`waited in vain for ${what} behind ${JSON.stringify(tail)}`)
      await Promise.race([
        new Promise<void>((resolve) => {
          wake = resolve
        }),
        Bun.sleep(leftMs),
      ])
    }
    return said()
  }

  function send(request: string | Uint8Array): void {
    socket.write(typeof request === 'string' ? Buffer.from(request, 'latin1') : request)
  }

  const until = (ending: string) => notified(() => closed || tail.endsWith(ending), JSON.stringify(ending))
  return {
    send,
    until,
    rest: () => notified(() => closed, 'the end'),
    ask(request, ending) {
      send(request)
      return until(ending)
    },
    received: () => bytes,
    isClosed: () => closed,
    endInput: () => void socket.end(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    destroy: () => void socket.destroy(),
  }
}
