import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import {
  ErrorReply,
  ProtocolError,
  type RedisCommand,
  type Reply,
  ReplyParser,
} from '../../engines/redis/resp.ts'
import { SourceError } from '../entry.ts'

/**
 * A connection to a server that is read: commands in pipelines, in RESP2, which servers of every version speak. The engine's
 * own connection needs RESP3 and is made for many callers.
 */

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

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
    socket.on('error', (error) => this.fail(error.message))
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
  pipeline(commands: readonly RedisCommand[]): Promise<Reply[]> {
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
  async command(...command: RedisCommand): Promise<Reply> {
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

const lineEnd = Buffer.from('\r\n')

function encode(commands: readonly RedisCommand[]): Buffer {
  const parts: Buffer[] = []
  for (const command of commands) {
    parts.push(Buffer.from(`*${command.length}\r\n`))
    for (const argument of command) {
      const bytes = argument instanceof Uint8Array ? Buffer.from(argument) : Buffer.from(String(argument))
      parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd)
    }
  }
  return Buffer.concat(parts)
}
