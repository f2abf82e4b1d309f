import { afterAll, beforeAll, expect, test } from 'bun:test'
import { run } from '../../test/support/program.ts'
import { startServer, type TestServer } from '../../test/support/server.ts'

/** Where the commands find the server, and what they say when it does not let them in. */

let server: TestServer
beforeAll(async () => {
  server = await startServer({ env: { KVIST_TOKEN: 'sesame' } })
  const stored = await collections({ KVIST_URL: server.url, KVIST_TOKEN: 'sesame' }, ['put', 'k', '1'])
  expect(stored.exitCode).toBe(0)
})
afterAll(() => server.remove())

async function collections(env: Record<string, string>, args: readonly string[] = ['collections']) {
  const { exitCode, stdout, stderr } = await run(args, { env: { ...env } })
  return { exitCode, stdout: stdout.toString(), stderr }
}

test('a URL may end in /v1; without one KVIST_HOST and KVIST_PORT say where the server is', async () => {
  const found = { exitCode: 0, stdout: 'keys\t1\t2\n', stderr: '' }
  const port = { KVIST_PORT: `${server.port}` }
  for (const env of [
    { KVIST_URL: `${server.url}/v1` },
    { KVIST_URL: `${server.url}/v1/` },
    { KVIST_URL: `${server.url}//` },
    port,
    { ...port, KVIST_HOST: 'localhost' },
    { ...port, KVIST_HOST: '0.0.0.0' },
    { KVIST_URL: server.url, KVIST_PORT: '1', KVIST_HOST: 'nowhere.invalid' },
  ])
    expect([env, await collections({ KVIST_TOKEN: 'sesame', ...env })]).toEqual([env, found])
  const flag = ['collections', '--url', server.url]
  expect(await collections({ KVIST_TOKEN: 'sesame', KVIST_URL: 'http://127.0.0.1:1' }, flag)).toEqual(found)
})

test.each([
  [{ KVIST_PORT: '1' }, 'http://127.0.0.1:1: is kvist serve running?'],
  [{ KVIST_PORT: '1', KVIST_HOST: '::' }, 'http://[::1]:1: is kvist serve running?'],
  [{ KVIST_PORT: '1', KVIST_HOST: '[::1]' }, 'http://[::1]:1: is kvist serve running?'],
  [{ KVIST_HOST: 'nowhere.invalid' }, 'http://nowhere.invalid:7070: there is no host of this name'],
])('%j is where the server is looked for', async (env, where) => {
  expect(await collections(env)).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: `kvist: cannot reach ${where}\n`,
  })
})

test.each([
  [{ KVIST_PORT: '0' }, 'KVIST_PORT is 0, which is any free port for a server: say --url, or set KVIST_URL'],
  [{ KVIST_PORT: 'x' }, 'KVIST_PORT must be a whole number from 0 to 65535, not "x"'],
  [{ KVIST_URL: '' }, 'the URL of a server must be one of http or https, not ""'],
  [
    { KVIST_TOKEN: '' },
    'KVIST_TOKEN is empty: it must be one or more visible ASCII characters, without spaces',
  ],
])('%j is not understood', async (env, message) => {
  expect(await collections(env)).toEqual({ exitCode: 2, stdout: '', stderr: `kvist: ${message}\n` })
})

test('a missing token and a wrong one have different messages', async () => {
  const missing = 'kvist: the server requires a token, and none was sent: see KVIST_TOKEN and --token-file\n'
  const wrong =
    'kvist: the token is not valid: it is wrong, has expired or was revoked: see KVIST_TOKEN and --token-file\n'
  for (const args of [
    ['collections'],
    ['get', 'k'],
    ['put', 'k', '1'],
    ['list'],
    ['export', '-'],
    ['watch'],
    ['watch', '--interval', '1s'],
  ]) {
    const result = { exitCode: 1, stdout: '' }
    expect(await collections({ KVIST_URL: server.url }, args)).toEqual({ ...result, stderr: missing })
    const env = { KVIST_URL: server.url, KVIST_TOKEN: 'guess' }
    expect(await collections(env, args)).toEqual({ ...result, stderr: wrong })
  }
})

test('what is not kvist is reported as such, with the settings to check', async () => {
  for (const status of [200, 404]) {
    using other = Bun.serve({ port: 0, fetch: () => new Response('<html>', { status }) })
    const { exitCode, stderr } = await collections({ KVIST_URL: other.url.origin })
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/^kvist: what responds at \S+ is not kvist.*: see --url and KVIST_URL\n$/)
  }
})
