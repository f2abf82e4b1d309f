import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type RawReply, sendRaw } from '../support/raw.ts'
import { startServer, type TestServer } from '../support/server.ts'

/** A request that a client of a dialect sends, and the response that it must get: the rows of dialects.md, as data. */
export interface Exchange {
  /** Method and path, relative to the mount. */
  readonly ask: string
  readonly body?: string
  /** The content type of the body; default: JSON. */
  readonly type?: string
  readonly with?: Readonly<Record<string, string>>
  readonly status: number
  /** The whole body, with the placeholders below. Left out: whatever it is. */
  readonly reply?: string
  /** Headers that the response must have, with placeholders too; `<mount>` stands for where the dialect is. */
  readonly headers?: Readonly<Record<string, string>>
}

/** For what is different each time. */
const placeholders: Readonly<Record<string, string>> = {
  '<ms>': '1\\d{12}',
  '<seconds>': '1\\d{9}(?:\\.\\d{1,3})?',
  '<uuid>': '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  '<text>': '[^"]+',
  '<digits>': '-?\\d+',
}

/** Runs the exchanges in their order, in both mounts of a server that has the dialect at its root, each from empty. */
export function runExchanges(dialect: string, exchanges: readonly Exchange[]): void {
  describe.each([`/dialects/${dialect}`, ''])('mounted at "%s"', (mount) => {
    let server: TestServer
    beforeAll(async () => {
      server = await startServer({ flags: ['--dialect', dialect] })
    })
    afterAll(() => server.remove())

    for (const [i, exchange] of exchanges.entries()) {
      test(`${i + 1}: ${exchange.ask} ${exchange.body?.slice(0, 60) ?? ''}`, async () => {
        expectReply(await send(server, mount, exchange), exchange, mount)
      })
    }
  })
}

export async function send(
  { port }: { readonly port: number },
  mount: string,
  { ask, body, type = 'application/json', with: headers = {} }: Omit<Exchange, 'status'>,
): Promise<RawReply> {
  const [method, path] = ask.split(' ')
  const bytes = Buffer.from(body ?? '')
  const all = {
    host: 'localhost',
    connection: 'close',
    ...(body === undefined ? {} : { 'content-type': type, 'content-length': String(bytes.length) }),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = Buffer.from(`${method} ${mount}${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  const reply = await sendRaw(port, Buffer.concat([head, bytes]))
  if (reply === null) throw new Error(`no response to ${ask}`)
  return { ...reply, body: Buffer.from(reply.body, 'latin1').toString() }
}

export function expectReply(reply: RawReply, { ask, status, reply: text, headers }: Exchange, mount = '') {
  const said = `${reply.status} ${reply.body}`
  if (text === undefined) expect(said).toStartWith(`${status} `)
  else expect(said).toMatch(patternOf(`${status} ${text}`))
  for (const [name, value] of Object.entries(headers ?? {})) {
    expect(`${name}: ${reply.headers[name]}`).toMatch(
      patternOf(`${name}: ${value.replace('<mount>', mount)}`),
    )
  }
  if (ask.startsWith('HEAD ')) expect(reply.body).toBe('')
}

function patternOf(text: string): RegExp {
  const parts = text.split(/(<\w+>)/)
  return RegExp(`^${parts.map((part) => placeholders[part] ?? RegExp.escape(part)).join('')}$`)
}
