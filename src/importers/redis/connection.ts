import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ErrorReply, ProtocolError, type Reply, ReplyParser } from '../../engines/redis/resp.ts'
import { SourceError } from '../entry.ts'
import { networkFault } from '../network-faults.ts'

/**
 * A connection to a server that is read: commands in pipelines, in RESP2, which servers of every version speak. The engine's
 * own connection needs RESP3 and is made for many callers.
 */

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

/** A command and its arguments: text is sent as UTF-8. */
export type SourceCommand = readonly (string | number | Uint8Array)[]

export interface RedisLogin {
  readonly user: string | null
  readonly password: string | null
  /** The authorities that are trusted, in PEM, or null for the well-known ones; null without TLS. */
  readonly tls: { readonly ca: string | null } | null
}

/** Without a byte for this long, the server counts as gone. */
const timeoutMs = 30_000

export class SourceConnection {
  private readonly name: string
  private readonly socket: Socket
  private readonly parser: ReplyParser
  private readonly waiting: ((reply: Reply) => void)[] = []
  private failure: SourceError | null = null
  private onFailure: (error: SourceError) => void = () => {}

  private constructor(name: string, socket: Socket) {
    this.name = name
    this.socket = socket
    this.parser = new ReplyParser(
      (reply) => this.waiting.shift()?.(reply),
      () => {},
    )
    socket.on('data', (bytes: Buffer) => this.received(bytes))
    socket.on('error', (error) => this.fail(networkFault(error)))
    socket.on('close', () => this.fail('the server closed the connection'))
    socket.setTimeout(timeoutMs, () => {
      if (this.waiting.length > 0) this.fail(`no response within ${timeoutMs / 1000} s`)
    })
    socket.setNoDelay(true)
  }

  /** Connects and logs in. Throws a `SourceError`. */
  static async open(address: RedisAddress, { user, password, tls }: RedisLogin): Promise<SourceConnection> {
    const { host, port } = address
    const name = `${host.includes(':') ? `[${host}]` : host}:${port}`
    const socket =
      tls === null
        ? connect({ host, port })
        : connectTls({
            host,
            port,
            ...(isIP(host) === 0 ? { servername: host } : {}),
            ...(tls.ca === null ? {} : { ca: tls.ca }),
          })
    const connection = new SourceConnection(name, socket)
    if (password !== null) {
      const login = user === null ? ['AUTH', password] : ['AUTH', user, password]
      const [reply] = await connection.pipeline([login])
      if (reply instanceof ErrorReply) throw connection.refusal(reply)
    }
    const [reply] = await connection.pipeline([['PING']])
    if (reply instanceof ErrorReply) throw connection.refusal(reply)
    return connection
  }

  /** Sends commands together, and returns their replies, errors of the server among them. Throws a `SourceError`. */
  pipeline(commands: readonly SourceCommand[]): Promise<Reply[]> {
    return new Promise((resolve, reject) => {
      if (this.failure !== null) return reject(this.failure)
      if (commands.length === 0) return resolve([])
      this.onFailure = reject
      const replies: Reply[] = []
      for (let i = 0; i < commands.length; i++) {
        this.waiting.push((reply) => {
          replies.push(reply)
          if (replies.length === commands.length) resolve(replies)
        })
      }
      this.socket.write(encode(commands))
    })
  }

  /** Sends one command, and returns its reply. Throws a `SourceError` if the server refuses it. */
  async command(...command: SourceCommand): Promise<Reply> {
    const [reply = null] = await this.pipeline([command])
    if (reply instanceof ErrorReply) throw this.refusal(reply)
    return reply
  }

  close(): void {
    this.failure ??= new SourceError(`${this.name}: the connection is closed`)
    this.socket.destroy()
  }

  private received(bytes: Buffer): void {
    try {
      this.parser.parse(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.fail(error.message)
    }
  }

  private fail(why: string): void {
    if (this.failure !== null) return
    this.failure = new SourceError(`${this.name}: ${why}`)
    this.socket.destroy()
    this.onFailure(this.failure)
  }

  private refusal({ text, code }: ErrorReply): SourceError {
    const isLogin = ['NOAUTH', 'WRONGPASS'].includes(code) || /^ERR .*AUTH|invalid password/.test(text)
    const advice = isLogin ? ': see --source-password-file and KVIST_SOURCE_PASSWORD' : ''
    return new SourceError(`${this.name} refused: ${text}${advice}`)
  }
}

/** One text with a letter for a byte costs a fraction of a buffer for each argument. */
function encode(commands: readonly SourceCommand[]): Buffer {
  let text = ''
  for (const command of commands) {
    text += `*${command.length}\r\n`
    for (const argument of command) {
      const letters = lettersOf(argument)
      text += `$${letters.length}\r\n${letters}\r\n`
    }
  }
  return Buffer.from(text, 'latin1')
}

/** Words of commands, which need no encoding. */
const ascii = /^[\x20-\x7e]*$/

function lettersOf(argument: string | number | Uint8Array): string {
  if (typeof argument === 'number') return String(argument)
  if (typeof argument !== 'string') {
    return Buffer.from(argument.buffer, argument.byteOffset, argument.length).toString('latin1')
  }
  return ascii.test(argument) ? argument : Buffer.from(argument).toString('latin1')
}
