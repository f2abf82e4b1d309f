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
    lasting: new Set(),
    tick: 0,
    isStopping: false,
    openRequests: 0,
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
