import { expect, test } from 'bun:test'
import type { Socket } from '../../net/socket.ts'
import { startTicks } from '../../net/tick.ts'
import { responseOf, streamed } from '../response.ts'
import { requestMemory } from '../server.ts'
import { HttpConnection } from './connection.ts'
import type { HttpResponse } from './response.ts'
import type { HttpServerState } from './server-state.ts'
import { startLinesBy } from './writing.ts'

/** A socket that takes so many bytes of each write, of the first more. */
function narrowSocket(firstBytes: number, bytesAtOnce: number) {
  const sent: Buffer[] = []
  const socket: Socket = {
    remoteAddress: '127.0.0.1',
    write(part, offset = 0, length = part.length) {
      const room = Math.min(length, sent.length === 0 ? firstBytes : bytesAtOnce)
      const bytes = Buffer.from(part as Uint8Array).subarray(offset, offset + room)
      sent.push(bytes)
      return bytes.length
    },
    shutdown() {},
    end() {},
    terminate() {},
    pause() {},
    resume() {},
  }
  return { socket, all: () => Buffer.concat(sent).toString() }
}

function stateOf(respondOf: () => HttpResponse): HttpServerState {
  return {
    timeoutSeconds: 30,
    ticks: startTicks((error) => {
      throw error
    }),
    clock: { seconds: 0 },
    startLines: startLinesBy(() => 0),
    memory: requestMemory(),
    isStopping: false,
    openRequests: 0,
    serve: (_request, connection) => connection.reply(respondOf()),
    refuse: ({ status }) => responseOf(status),
    onTlsClient() {},
    reportError() {},
  }
}

const text = 'aüß\u{1F600}'

test.each([
  ['as text', () => responseOf(200, {}, text)],
  ['as bytes', () => responseOf(200, {}, Buffer.from(text))],
  [
    'in parts',
    () => {
      const parts = [text, Buffer.from(text)]
      return responseOf(
        200,
        {},
        streamed(
          async () => parts.shift() ?? null,
          () => {},
        ),
      )
    },
  ],
])('a response %s goes out whole, however little the socket takes at once', async (_how, respondOf) => {
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
      const { socket, all } = narrowSocket(firstBytes, bytesAtOnce)
      const connection = new HttpConnection(stateOf(respondOf), socket)
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
  ['the server stops', (connection: HttpConnection) => connection.finish()],
  ['the client sends no more', (connection: HttpConnection) => connection.halfClosed()],
])('what was received in the same tick before %s gets a response', async (_when, end) => {
  const { socket, all } = narrowSocket(1000, 1000)
  const connection = new HttpConnection(
    stateOf(() => responseOf(200, {}, text)),
    socket,
  )
  connection.receive(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
  end(connection)
  await new Promise((resolve) => setImmediate(resolve))
  expect(all()).toContain(text)
})

test('requests are served when the tick ends, with what came in since, and not when the client is gone', async () => {
  const reported: string[] = []
  const state: HttpServerState = {
    ...stateOf(() => responseOf(204)),
    serve({ path, body }, connection) {
      reported.push(`serve ${path}${body.isComplete ? '' : ' in part'}`)
      connection.reply(responseOf(204))
    },
  }
  const [first, second, third, fourth] = Array.from(
    { length: 4 },
    () => new HttpConnection(state, narrowSocket(1000, 1000).socket),
  )
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  first!.receive(Buffer.from(get('/a') + get('/b')))
  second!.receive(Buffer.from('PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab'))
  second!.receive(Buffer.from('cd'))
  third!.receive(Buffer.from('GET /d HTTP'))
  fourth!.receive(Buffer.from(get('/e')))
  second!.receive(Buffer.from(get('/f')))
  third!.receive(Buffer.from('/1.1\r\nHost: x\r\n\r\n'))
  fourth!.abort()
  expect(reported).toEqual([])
  await new Promise((resolve) => setImmediate(resolve))
  expect(reported.splice(0)).toEqual(['serve /a', 'serve /b', 'serve /c', 'serve /f', 'serve /d'])
  for (const one of [first, second, third, fourth]) one!.process()
  expect(reported).toEqual([])
})

test.each([
  ['is being read', false],
  ['has come in part before the request is served', true],
])('half a request, whose client sends no more while it %s, has no response', async (_when, isEarly) => {
  const served: string[] = []
  const state: HttpServerState = {
    ...stateOf(() => responseOf(204)),
    // As a handler does that responds whatever becomes of the body.
    async serve({ body }, connection) {
      try {
        for await (const part of body) served.push(String(part))
      } catch (error) {
        served.push(error instanceof Error ? error.name : '')
      }
      connection.reply(responseOf(200, {}, text))
    },
  }
  const { socket, all } = narrowSocket(1000, 1000)
  const connection = new HttpConnection(state, socket)
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  connection.receive(Buffer.from('PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab'))
  if (!isEarly) await turn()
  connection.halfClosed()
  for (let i = 0; i < 5; i++) await turn()
  expect(served).toEqual(['ab', 'AbortError'])
  expect(all()).toBe('')
  expect(state.openRequests).toBe(0)
})

test('a drain of a socket that had room does not extend the time for a head', () => {
  const clock = { seconds: 0 }
  const { socket } = narrowSocket(1000, 1000)
  const ended: string[] = []
  const connection = new HttpConnection(
    { ...stateOf(() => responseOf(204)), clock },
    { ...socket, shutdown: () => void ended.push('shutdown') },
  )
  connection.receive(Buffer.from('GET /a'))
  clock.seconds = 20
  connection.drained()
  clock.seconds = 31
  connection.checkTimeouts()
  expect(ended).toEqual(['shutdown'])
})

test('a response that may last for ever is refused when the server stops', () => {
  const state = stateOf(() => responseOf(204))
  const connection = new HttpConnection(state, narrowSocket(1000, 1000).socket)
  const ended: string[] = []
  connection.register({ end: () => void ended.push('first') })
  state.isStopping = true
  expect(() => connection.register({ end: () => void ended.push('second') })).toThrow('the server stops')
  connection.finish()
  expect(ended).toEqual(['first'])
})
