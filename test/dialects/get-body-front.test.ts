import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect, createServer, type Socket } from 'node:net'
import { runServe, startServer, type TestServer } from '../support/server.ts'

/** The front that brings the body of a GET past the server must not be felt otherwise. */

let server: TestServer
beforeAll(async () => {
  server = await startServer({ flags: ['--dialect', 'tenantbase', '--idle-timeout', '2'] })
})
afterAll(() => server.remove())

function opened(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true }, () =>
      resolve(socket),
    )
    socket.once('error', reject)
  })
}

/** What a connection says from now on until it ends, or has said a text so often. */
function said(socket: Socket, text: string, times: number): Promise<string> {
  return new Promise((resolve) => {
    let all = ''
    const done = () => {
      socket.off('data', hear).off('end', done).off('close', done)
      resolve(all)
    }
    const hear = (part: Buffer) => {
      all += part
      if (all.split(text).length > times) done()
    }
    socket.on('data', hear).on('end', done).on('close', done)
  })
}

function getWithBody(key: string): string {
  const body = JSON.stringify({ key })
  return `GET /get-value HTTP/1.1\r\nHost: k\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

function storeRequest(key: string, value: string): string {
  const body = JSON.stringify({ key, value })
  return `POST /set-value HTTP/1.1\r\nHost: k\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

test('requests on one connection are told apart', async () => {
  const socket = await opened()
  for (let i = 0; i < 50; i++) {
    const stored = said(socket, '200: OK', 1)
    // The bytes come in two parts, cut anywhere.
    const request = storeRequest(`p${i}`, `GET /get-value HTTP/1.1\\r\\n of ${i}`)
    socket.write(request.slice(0, i * 3))
    await Bun.sleep(1)
    socket.write(request.slice(i * 3))
    await stored
    const answer = said(socket, '"}', 1)
    socket.write(getWithBody(`p${i}`))
    expect(await answer).toEndWith(`of ${i}"}`)
  }
  socket.destroy()
})

test('a client that says that it is done still gets its answer', async () => {
  await fetch(`${server.url}/set-value`, { method: 'POST', body: '{"key":"half","value":"x"}' })
  const socket = await opened()
  const answer = said(socket, '}', 1)
  socket.end(getWithBody('half'))
  expect(await answer).toContain('{"value":"x"}')
})

test('what a client does not send to its end is not stored, and the connection goes with it', async () => {
  const socket = await opened()
  socket.write('POST /set-value HTTP/1.1\r\nHost: k\r\nContent-Length: 30\r\n\r\n{"key":"cut","value":1')
  await Bun.sleep(100)
  socket.destroy()
  await Bun.sleep(100)
  expect((await fetch(`${server.url}/get-value?key=cut`)).status).toBe(404)
})

test('a client that says nothing is closed in time', async () => {
  const socket = await opened()
  expect(await said(socket, 'nothing', 1)).toBe('')
})

test('a large value comes through whole, however slowly it is read', async () => {
  const value = 'ä'.repeat(4 * 1024 * 1024)
  await fetch(`${server.url}/set-value`, { method: 'POST', body: JSON.stringify({ key: 'large', value }) })
  const socket = await opened()
  const parts: Buffer[] = []
  socket.write(getWithBody('large').replace('Host: k', 'Host: k\r\nConnection: close'))
  await new Promise<void>((resolve) => {
    socket.on('data', (part: Buffer) => {
      parts.push(part)
      socket.pause()
      setTimeout(() => socket.resume(), 1)
    })
    socket.on('end', () => resolve())
  })
  const text = Buffer.concat(parts).toString()
  expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).value).toBe(value)
})

test('a port that is taken is said to be', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const address = taken.address()
  const port = typeof address === 'object' ? address?.port : 0
  const { exitCode, output } = await runServe(['--port', String(port), '--dialect', 'tenantbase'])
  expect(exitCode).not.toBe(0)
  expect(output).toMatch(/EADDRINUSE|in use/)
  taken.close()
})

test('it stops in good order, also with connections that are open', async () => {
  const one = await startServer({ flags: ['--dialect', 'tenantbase', '--stop-timeout', '1'] })
  const socket = connect(one.port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write(storeRequest('last', 'x'))
  await said(socket, '200: OK', 1)
  expect(await one.stop()).toBe(0)
  await one.remove()
})
