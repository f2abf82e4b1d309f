import { expect, test } from 'bun:test'
import { type Answer, answer, streamed } from '../answer.ts'
import { HttpConnection, type Port, type Wire } from './connection.ts'
import { startTurns } from './turn.ts'

/** A socket that takes so many bytes of each write, of the first more. */
function narrowWire(firstBytes: number, bytesAtOnce: number) {
  const sent: Buffer[] = []
  const wire: Wire = {
    remoteAddress: '127.0.0.1',
    write(part) {
      const bytes = Buffer.from(part as string).subarray(0, sent.length === 0 ? firstBytes : bytesAtOnce)
      sent.push(bytes)
      return bytes.length
    },
    shutdown() {},
    end() {},
    terminate() {},
    pause() {},
    resume() {},
  }
  return { wire, all: () => Buffer.concat(sent).toString() }
}

function portOf(answerOf: () => Answer): Port {
  return {
    timeoutTicks: 30,
    turn: startTurns((error) => {
      throw error
    }),
    longLived: new Set(),
    tick: 0,
    isStopping: false,
    openRequests: 0,
    foresee() {},
    serve: (_request, connection) => connection.reply(answerOf()),
    refuse: ({ status }) => answer(status),
    report() {},
  }
}

const text = 'aüß\u{1F600}'

test.each([
  ['as text', () => answer(200, {}, text)],
  ['as bytes', () => answer(200, {}, Buffer.from(text))],
  [
    'in parts',
    () => {
      const parts = [text, Buffer.from(text)]
      return answer(
        200,
        {},
        streamed(
          async () => parts.shift() ?? null,
          () => {},
        ),
      )
    },
  ],
])('an answer %s goes out whole, however little the socket takes at once', async (_how, answerOf) => {
  for (const version of ['1.1', '1.0']) {
    const texts = []
    for (const [firstBytes, bytesAtOnce] of [
      [1, 1],
      [3, 2],
      [7, 7],
      // The whole head, where the body goes by itself.
      [1000, 1],
      [1000, 6],
      [1000, 1000],
    ] as const) {
      const { wire, all } = narrowWire(firstBytes, bytesAtOnce)
      const connection = new HttpConnection(portOf(answerOf), wire)
      connection.receive(Buffer.from(`GET / HTTP/${version}\r\nHost: x\r\n\r\n`))
      for (let i = 0; i < 300; i++) {
        await new Promise((resolve) => setImmediate(resolve))
        connection.drained()
      }
      texts.push(all().replace(/Date: .*\r\n/, ''))
    }
    expect([version, ...new Set(texts)]).toHaveLength(2)
    expect(texts[0]).toContain(text)
  }
})

test.each([
  ['the server stops', (connection: HttpConnection) => connection.endSoon()],
  ['the client sends no more', (connection: HttpConnection) => connection.endInput()],
])('what came in in the same turn before %s is answered', async (_when, end) => {
  const { wire, all } = narrowWire(1000, 1000)
  const connection = new HttpConnection(
    portOf(() => answer(200, {}, text)),
    wire,
  )
  connection.receive(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
  end(connection)
  await new Promise((resolve) => setImmediate(resolve))
  expect(all()).toContain(text)
})

test('what was foreseen is served once, with what came in since, and not when the client is gone', async () => {
  const told: string[] = []
  const port: Port = {
    ...portOf(() => answer(204)),
    foresee: ({ path }) => told.push(`foresee ${path}`),
    serve({ path, body }, connection) {
      told.push(`serve ${path}${body.isComplete ? '' : ' in part'}`)
      connection.reply(answer(204))
    },
  }
  const [first, second, third, fourth] = Array.from(
    { length: 4 },
    () => new HttpConnection(port, narrowWire(1000, 1000).wire),
  )
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  first!.receive(Buffer.from(get('/a') + get('/b')))
  second!.receive(Buffer.from('PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab'))
  second!.receive(Buffer.from('cd'))
  third!.receive(Buffer.from('GET /d HTTP'))
  fourth!.receive(Buffer.from(get('/e')))
  for (const one of [first, second, third, fourth]) one!.foresee()
  second!.receive(Buffer.from(get('/f')))
  third!.receive(Buffer.from('/1.1\r\nHost: x\r\n\r\n'))
  fourth!.gone()
  expect(told.splice(0)).toEqual(['foresee /a', 'foresee /c', 'foresee /e'])
  for (const one of [first, second, third, fourth]) one!.look()
  expect(told.splice(0)).toEqual(['serve /a', 'serve /b', 'serve /c', 'serve /f', 'serve /d'])
  await new Promise((resolve) => setImmediate(resolve))
  expect(told).toEqual([])
})
