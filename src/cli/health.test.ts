import { expect, test } from 'bun:test'
import { listen } from 'bun'
import { run } from '../../test/support/program.ts'
import { startServer } from '../../test/support/server.ts'

/** `kvist health`, as a container or a supervisor asks. */

async function health(url: string) {
  const { exitCode, stdout, stderr } = await run(['health'], { env: { KVIST_URL: url } })
  return { exitCode, stdout: stdout.toString(), stderr }
}

test('a server that serves is healthy, asked without its token; one that has ended is not', async () => {
  const server = await startServer({ env: { KVIST_TOKEN: 'a-token' } })
  try {
    expect(await health(server.url)).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    await server.stop()
    const stderr = `kvist: cannot reach ${server.url}: is kvist serve running?\n`
    expect(await health(server.url)).toEqual({ exitCode: 1, stdout: '', stderr })
  } finally {
    await server.remove()
  }
})

test('a server that stops is not ready any more', async () => {
  using stopping = Bun.serve({ port: 0, fetch: () => new Response('stopping\n', { status: 503 }) })
  expect(await health(stopping.url.origin)).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: `kvist: ${stopping.url.origin} is not ready: 503 stopping\n`,
  })
})

test.each([
  ['another server that is fine', () => new Response('<html>\nfine'), '200 <html>'],
  ['one that knows nothing of /readyz', () => new Response('', { status: 404 }), '404'],
  ['one that responds ok', () => new Response('ok'), '200 ok'],
])('%s is not kvist', async (_name, respond, line) => {
  using other = Bun.serve({ port: 0, fetch: respond })
  const stderr = `kvist: what responds at ${other.url.origin} is not kvist: ${line}\n`
  expect(await health(other.url.origin)).toEqual({ exitCode: 1, stdout: '', stderr })
})

test('a URL may end in /v1', async () => {
  using ready = Bun.serve({
    port: 0,
    fetch: ({ url }) => new Response(new URL(url).pathname === '/readyz' ? 'ready\n' : 'no'),
  })
  for (const end of ['/v1', '/v1/', '/']) expect((await health(ready.url.origin + end)).exitCode).toBe(0)
})

test('a server that accepts and says nothing is not waited for', async () => {
  using silent = listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const url = `http://127.0.0.1:${silent.port}`
  const stderr = `kvist: cannot reach ${url}: The operation timed out.\n`
  expect(await health(url)).toEqual({ exitCode: 1, stdout: '', stderr })
})
