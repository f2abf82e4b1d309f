import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import { membersIn } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** Clients that fall silent for `--idle-timeout` are closed, slow ones that go on are not. */

/** A pause of a client on a busy machine is shorter. */
const idleSeconds = 2

let server: TestServer
beforeAll(async () => {
  server = await startServer({ flags: ['--idle-timeout', String(idleSeconds)] })
})
afterAll(() => server.remove())

interface Closed {
  readonly afterMs: number
  readonly received: string
}

/** Talks to the server as `write` says, and waits until it closes the connection. */
function talk(write: (socket: Socket) => void | Promise<void>): Promise<Closed> {
  return new Promise((resolve) => {
    const startedMs = performance.now()
    let received = ''
    const socket = connect(server.port, '127.0.0.1', () => write(socket))
    socket.on('data', (part: Buffer) => {
      received += part.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve({ afterMs: performance.now() - startedMs, received }))
  })
}

/** Longer than any silence is borne: the server looks every second. */
const steadyMs = (idleSeconds + 3) * 1000

async function inSteps(socket: Socket, parts: readonly string[]): Promise<void> {
  for (const part of parts) {
    socket.write(part)
    await Bun.sleep(steadyMs / parts.length)
  }
}

const headers = 'Host: x\r\nConnection: close\r\n'

test.concurrent('a client that sends nothing, or half a header, is closed without a response', async () => {
  const silent = [
    talk(() => {}),
    talk((socket) => void socket.write('GET /v1/c HTTP/1.1\r\nHost: x\r\nX: ')),
    // Drop by drop it takes no longer.
    talk((socket) => inSteps(socket, ['GET /v1/c HTTP/1.1\r\nHost: x\r\nX: ', ...'a'.repeat(100)])),
  ]
  for (const { received, afterMs } of await Promise.all(silent)) {
    expect(received).toBe('')
    expect(afterMs).toBeLessThan(50_000)
  }
})

test.concurrent('a client that falls silent within a body is closed, and nothing of it is stored', async () => {
  const silent = [
    talk((socket) => void socket.write(`PUT /v1/half/k HTTP/1.1\r\n${headers}Content-Length: 10\r\n\r\n123`)),
    talk(
      (socket) => void socket.write(`PUT /v1/half/k HTTP/1.1\r\n${headers}Content-Length: 99999\r\n\r\n123`),
    ),
    talk(
      (socket) =>
        void socket.write(
          `PUT /v1/half/k HTTP/1.1\r\n${headers}Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n`,
        ),
    ),
    talk(
      (socket) =>
        void socket.write(`POST /v1/_batch HTTP/1.1\r\n${headers}Content-Length: 90\r\n\r\n{"operations":[`),
    ),
  ]
  for (const { received, afterMs } of await Promise.all(silent)) {
    expect(received).toBe('')
    expect(afterMs).toBeWithin(1000, 50_000)
  }
  expect(await membersIn(`${server.url}/v1/half`)).toEqual([])
})

test.concurrent('a slow import that goes on is not cut', async () => {
  const lines = Array.from({ length: 25 }, (_, i) => `{"key":"${i}","value":${i}}\n`)
  const chunks = lines.map((line) => `${line.length.toString(16)}\r\n${line}\r\n`)
  const { received, afterMs } = await talk((socket) =>
    inSteps(socket, [
      `POST /v1/slow HTTP/1.1\r\n${headers}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n`,
      ...chunks,
      '0\r\n\r\n',
    ]),
  )
  expect(received).toEndWith('{"stored":25,"failed":[]}\n')
  expect(afterMs).toBeGreaterThan(steadyMs / 2)
  expect((await membersIn(`${server.url}/v1/slow`)).length).toBe(25)
})

test.concurrent('a slow value that goes on is not cut', async () => {
  const parts = Array.from({ length: 25 }, () => 'x'.repeat(1000))
  const { received } = await talk((socket) =>
    inSteps(socket, [
      `PUT /v1/slow-value/k HTTP/1.1\r\n${headers}Content-Length: 25002\r\n\r\n"`,
      ...parts,
      '"',
    ]),
  )
  expect(received).toStartWith('HTTP/1.1 201 ')
  expect(await (await fetch(`${server.url}/v1/slow-value/k`)).text()).toBe(`"${parts.join('')}"`)
})

test.concurrent('an import that falls silent is closed', async () => {
  const line = '{"key":"a","value":1}\n'
  const { received } = await talk(
    (socket) =>
      void socket.write(
        `POST /v1/stopped HTTP/1.1\r\n${headers}Content-Type: application/x-ndjson\r\nContent-Length: 999999\r\n\r\n${line}`,
      ),
  )
  expect(received).toBe('')
})

test.concurrent('a slow reader gets all of an export; one that stops reading is closed', async () => {
  const value = 'x'.repeat(10_000)
  const body = Array.from({ length: 3000 }, (_, i) => `{"key":"${i}","value":"${value}"}\n`).join('')
  const imported = await fetch(`${server.url}/v1/export`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  })
  expect(imported.status).toBe(200)
  const request = `GET /v1/export?include=values HTTP/1.1\r\n${headers}Accept: application/x-ndjson\r\n\r\n`

  let received = 0
  const reader = new Promise<void>((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(request))
    // Reads a 25th of it, pauses, and so on.
    let left = body.length / 25
    socket.on('data', (part: Buffer) => {
      received += part.length
      left -= part.length
      if (left > 0) return
      left = body.length / 25
      socket.pause()
      setTimeout(() => socket.resume(), steadyMs / 25)
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve())
  })
  let stalled = 0
  const stopped = talk((socket) => {
    socket.write(request)
    socket.once('data', () => {
      socket.pause()
      // What was on its way when the server gave up is still to be read.
      setTimeout(() => socket.resume(), 1.2 * steadyMs)
    })
    socket.on('data', (part: Buffer) => {
      stalled += part.length
    })
  })
  await Promise.all([reader, stopped])
  expect(received).toBeGreaterThan(body.length)
  expect(stalled).toBeLessThan(body.length)
})

test('clients that go away are no errors of the server', () => {
  expect(server.output()).not.toContain('"level":"error"')
})
