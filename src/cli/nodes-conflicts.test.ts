import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Kvist } from '../../sdk/client.ts'
import { run } from '../../test/support/program.ts'
import { startServer, type TestServer } from '../../test/support/server.ts'

/** The versions that were lost, on the command line. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
  const { nodes } = new Kvist(server.url)
  const put = { op: 'put', collection: 'c', created_at: '2026-01-01T00:00:00Z', expires_at: null }
  const line = (key: string, node: string, clock: number, value: unknown) =>
    `${JSON.stringify({ ...put, key, origin: { node, clock: clock * 2048 }, value })}\n`
  for (const [i, key] of ['k1', 'k2', 'tab\tnewline\n'].entries()) {
    await nodes.replicate(line(key, 'n1', 1000 + i, { value: i }), 'n1')
    await nodes.replicate(line(key, 'n2', 60_000, 'theirs'), 'n2')
  }
})
afterAll(() => server.remove())

async function kvist(...args: string[]) {
  const { exitCode, stdout, stderr } = await run(args, { env: { KVIST_URL: server.url } })
  return { exitCode, stdout: stdout.toString(), stderr }
}

test('are listed in columns, the latest first, with both writers', async () => {
  const { exitCode, stdout, stderr } = await kvist('nodes', 'conflicts', '--collection', 'c')
  expect([exitCode, stderr]).toEqual([0, ''])
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(3)
  expect(lines[2]).toMatch(/^2\S+Z\tc\tk1\tput\tn1 1970-01-01T00:00:01.000Z\tn2 1970-01-01T00:01:00.000Z$/)
})

test('are printed whole with --json, by collection, and as what a server says of itself', async () => {
  const { stdout } = await kvist('nodes', 'conflicts', '--json')
  const conflicts = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(conflicts.map(({ lost }) => lost.value)).toEqual([{ value: 2 }, { value: 1 }, { value: 0 }])
  expect(await kvist('nodes', 'conflicts', '--collection', 'none')).toEqual({
    exitCode: 0,
    stdout: '',
    stderr: '',
  })
  const refused = await kvist('nodes', 'conflicts', '--collection', '_tokens')
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('begins with _')])
  expect((await kvist('nodes', 'conflicts', '--collection', '')).exitCode).toBe(2)
})

test('are a command of a group that is a command itself', async () => {
  expect((await kvist('nodes')).exitCode).toBe(0)
  expect((await kvist('nodes', '--json')).stdout).toContain('"conflicts":3')
  const nothing = await kvist('nodes', 'nothing')
  expect([nothing.exitCode, nothing.stderr]).toEqual([
    2,
    expect.stringContaining('there is no command "nodes nothing"'),
  ])
  expect((await kvist('nodes', '--help')).stdout).toContain('conflicts')
})
