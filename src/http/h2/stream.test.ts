import { expect, test } from 'bun:test'
import { EventEmitter } from 'node:events'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { startTicks } from '../../net/tick.ts'
import { responseOf } from '../response.ts'
import { requestMemory } from '../server.ts'
import type { HttpServerState } from '../wire/server-state.ts'
import { startLinesBy } from '../wire/writing.ts'
import { requestHead } from './request-head.ts'
import { Http2Stream } from './stream.ts'

/** A stream of Node that lists what is done to it. */
class FakeStream extends EventEmitter {
  readonly done: unknown[] = []
  destroyed = false
  aborted = false
  rstCode = 0
  state = { remoteClose: 1 }
  respond(headers: Record<string, unknown>) {
    this.done.push(headers[':status'])
  }
  write(part: Buffer) {
    this.done.push(part.toString())
    return true
  }
  end(done: () => void) {
    this.done.push('end')
    done()
  }
  close(code: number) {
    this.done.push(code)
    this.destroyed = true
  }
}

/** A PUT whose body is declared to have three bytes, and the paths of the requests that were served. */
async function putOfThreeBytes(send: (stream: FakeStream) => void) {
  const served: string[] = []
  const server: HttpServerState = {
    timeoutSeconds: 30,
    ticks: startTicks((error) => {
      throw error
    }),
    clock: { seconds: 0 },
    startLines: startLinesBy(() => 0),
    memory: requestMemory(),
    isStopping: false,
    openRequests: 0,
    async serve(request, connection) {
      let body = ''
      try {
        for await (const part of request.body) body += part
        served.push(`${request.path} ${body}`)
        connection.reply(responseOf(200, {}, 'ok'))
      } catch {
        served.push(`${request.path} failed`)
        connection.reply(responseOf(400))
      }
    },
    refuse: ({ status }) => responseOf(status),
    onTlsClient() {},
    reportError() {},
  }
  const stream = new FakeStream()
  const fields = [
    ':method',
    'PUT',
    ':scheme',
    'https',
    ':path',
    '/k',
    ':authority',
    'x',
    'content-length',
    '3',
  ]
  const head = requestHead(fields, true)!
  const client = { remoteAddress: '127.0.0.1', clientSubject: null }
  const exchange = new Http2Stream(server, client, stream as unknown as ServerHttp2Stream, head, true)
  send(stream)
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  if (stream.destroyed) exchange.closed()
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  return { served, done: stream.done }
}

test('a body of its declared length is served', async () => {
  const { served, done } = await putOfThreeBytes((stream) => {
    stream.emit('data', Buffer.from('12'))
    stream.emit('data', Buffer.from('3'))
    stream.emit('end')
  })
  expect(served).toEqual(['/k 123'])
  expect(done).toEqual([200, 'ok', 'end'])
})

test.each([
  ['is longer', ['12', '34PUT /l HTTP/1.1\r\nHost: x\r\n\r\n']],
  ['is shorter', ['12']],
])('a body that %s than its declared length resets the stream', async (_how, parts) => {
  const { served, done } = await putOfThreeBytes((stream) => {
    for (const part of parts) stream.emit('data', Buffer.from(part))
    stream.emit('end')
  })
  expect(served).toEqual(['/k failed'])
  expect(done).toEqual([constants.NGHTTP2_PROTOCOL_ERROR])
})
