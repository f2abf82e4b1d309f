import { type RawReply, sendRaw } from './raw.ts'

export interface LimitedRequest {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The address from which it is sent, one of this machine. */
  readonly from?: string
}

/** Sends one request on a connection of its own, from any address of this machine. */
export async function ask(port: number, request: LimitedRequest = {}): Promise<RawReply> {
  const { method = 'GET', path = '/v1/c/k', headers = {}, body = '', from } = request
  const lines = Object.entries({ host: `127.0.0.1:${port}`, connection: 'close', ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const length = body === '' ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`
  const reply = await sendRaw(port, `${method} ${path} HTTP/1.1\r\n${head}${length}\r\n${body}`, from)
  if (reply === null) throw new Error('the server closed without a response')
  return reply
}
