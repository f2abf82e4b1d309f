import { expect, test } from 'bun:test'
import { HttpRequest } from './request.ts'
import { RequestInput } from './request-input.ts'

const source = { pull() {}, taken() {} }

/** An input, and whether its socket is paused. */
function inputOf() {
  const socket = {
    isPaused: false,
    remoteAddress: '127.0.0.1',
    write: () => 0,
    shutdown() {},
    end() {},
    terminate() {},
    pause() {
      socket.isPaused = true
    },
    resume() {
      socket.isPaused = false
    },
  }
  return { input: new RequestInput(socket), socket }
}

const put = (body: string) => `PUT /v1/c/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n${body}`

test('a request that comes byte by byte is there with the last of its head, and what follows its body stays', async () => {
  const { input } = inputOf()
  const bytes = Buffer.from(`${put('12345')}GET`)
  const headEnd = bytes.indexOf('\r\n\r\n') + 4
  for (let i = 0; i < headEnd; i++) {
    expect(input.isEmpty ? null : input.next(source)).toBeNull()
    input.push(bytes.subarray(i, i + 1))
  }
  const request = input.next(source)
  if (!(request instanceof HttpRequest)) throw new Error('it is no request')
  expect(input.beginBody(request)).toBe(true)
  expect([input.isEmpty, request.body.isComplete]).toEqual([true, false])
  expect(input.feed(request, bytes.subarray(headEnd))).toBe(true)
  expect([input.isEmpty, request.body.isComplete]).toEqual([false, true])
  expect(input.takeBodyBytes()).toBe(bytes.length - headEnd)
  expect(input.takeBodyBytes()).toBe(0)
})

test('a malformed body closes the input', () => {
  const { input } = inputOf()
  input.push(Buffer.from('PUT /v1/c/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n'))
  const request = input.next(source)
  if (!(request instanceof HttpRequest)) throw new Error('it is no request')
  expect(input.beginBody(request)).toBe(false)
  expect([input.isClosed, input.isEmpty]).toEqual([true, true])
})

test('the socket is not read while too much waits, but for a connection that is closed', () => {
  const { input, socket } = inputOf()
  input.push(Buffer.alloc(64 * 1024))
  input.updateBackpressure(null, false)
  expect(socket.isPaused).toBe(false)
  input.push(Buffer.alloc(1))
  input.updateBackpressure(null, false)
  expect(socket.isPaused).toBe(true)
  input.updateBackpressure(null, true)
  expect(socket.isPaused).toBe(false)
})
