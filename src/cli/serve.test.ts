import { afterAll, expect, test } from 'bun:test'
import { readdirSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { run } from '../../test/support/program.ts'
import { newFolder, runServe, startServer, type TestServer } from '../../test/support/server.ts'

/** How `kvist serve` starts, refuses to, and stops. */

const folder = newFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '%s ends it with 0, and the data is there again',
  async (signal) => {
    const server = await startServer()
    const env = { KVIST_URL: server.url }
    await run(['put', 'k', signal], { env })
    server.signal(signal)
    expect(await server.exited).toBe(0)
    const again = await startServer({ dataFolder: server.dataFolder, flags: ['--port', `${server.port}`] })
    expect((await run(['get', 'k'], { env })).stdout.toString()).toBe(`"${signal}"`)
    expect(await again.stop()).toBe(0)
    await server.remove()
  },
)

/** A PUT that the server has begun with, and of which one byte is missing; `finish` sends it. */
async function startPut(server: TestServer) {
  const socket = connect(server.port, '127.0.0.1')
  const lines = firstLines(socket)
  socket.write('PUT /v1/keys/slow HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n')
  socket.write('Content-Type: application/json\r\nContent-Length: 2\r\n\r\n')
  expect((await lines.next()).value).toBe('HTTP/1.1 100 Continue')
  socket.write('1')
  return {
    finish: () => void socket.write('2'),
    response: lines.next().then(({ value }) => value ?? 'closed'),
  }
}

/** The first line of each response. */
async function* firstLines(socket: Socket): AsyncGenerator<string> {
  socket.on('error', () => {})
  for await (const part of socket) yield String(part).split('\r\n', 1)[0] ?? ''
}

test('a stop finishes the request in flight, also when the same signal comes twice at once', async () => {
  const server = await startServer()
  const put = await startPut(server)
  server.signal('SIGINT')
  server.signal('SIGINT') // as under npm, which passes on what the terminal has sent to both
  await Bun.sleep(100)
  put.finish()
  expect(await put.response).toBe('HTTP/1.1 201 Created')
  expect(await server.exited).toBe(0)
  await server.remove()
})

test('a second signal ends it at once', async () => {
  const server = await startServer({ flags: ['--stop-timeout', '1h'] })
  const put = await startPut(server)
  const signals = setInterval(() => server.signal('SIGTERM'), 400)
  expect(await server.exited).toBe(143)
  clearInterval(signals)
  expect(await put.response).toBe('closed')
  await server.remove()
})

test('a stop waits no longer than its time-out', async () => {
  const server = await startServer({ flags: ['--stop-timeout', '200ms'] })
  const put = await startPut(server)
  expect(await server.stop()).toBe(0)
  expect(await put.response).toBe('closed')
  await server.remove()
})

test('what keeps it from starting is printed in one line', async () => {
  const server = await startServer()
  const cases: [flags: string[], exitCode: number, message: RegExp][] = [
    [['--data', folder, '--port', `${server.port}`], 1, /^kvist: .*port.*\n$/],
    [['--data', server.dataFolder], 1, /^kvist: .*held by another kvist\n$/],
    [['--data', '/dev/null/x'], 1, /^kvist: .*\n$/],
    [['--data', folder, '--host', '0.0.0.0'], 2, /^kvist: --host 0\.0\.0\.0 lets in other machines: .*\n$/],
    [['--data', folder, '--prot', '1'], 2, /^kvist: serve has no option "--prot": see kvist serve --help\n$/],
  ]
  for (const [flags, exitCode, message] of cases) {
    expect({ flags, ...(await runServe(flags)) }).toEqual({
      flags,
      exitCode,
      output: expect.stringMatching(message),
    })
  }
  await server.remove()
})

test('a server in memory says so, writes no file, and forgets everything when it stops', async () => {
  const server = await startServer({ engine: 'memory' })
  const env = { KVIST_URL: server.url }
  expect(server.output()).toMatch(
    /"message":"kvist serves \S+\/v1, with its console at \S+\/console and its docs at \S+\/docs from memory: nothing is kept on disk"/,
  )
  await run(['put', 'k', '1'], { env })
  expect((await run(['get', 'k'], { env })).stdout.toString()).toBe('1')
  expect(await server.stop()).toBe(0)
  expect(readdirSync(server.dataFolder)).toEqual([])
  const again = await startServer({ engine: 'memory', flags: ['--port', `${server.port}`] })
  expect((await run(['get', 'k'], { env })).exitCode).toBe(1)
  await again.remove()
  await server.remove()
})

test('a token keeps others out, and the client sends the one of its environment', async () => {
  const server = await startServer({ env: { KVIST_TOKEN: 's3cret' } })
  const without = await run(['list', '--url', server.url])
  const wrong = await run(['list', '--url', server.url], { env: { KVIST_TOKEN: 'other' } })
  const empty = await run(['list', '--url', server.url], { env: { KVIST_TOKEN: '' } })
  const right = await run(['list', '--url', server.url], { env: { KVIST_TOKEN: 's3cret' } })
  expect([without.exitCode, wrong.exitCode, empty.exitCode, right.exitCode]).toEqual([1, 1, 2, 0])
  expect(without.stderr).toMatch(/^kvist: .*token.*\n$/)
  expect(empty.stderr).toMatch(/^kvist: KVIST_TOKEN is empty: .*\n$/)
  await server.remove()
})
