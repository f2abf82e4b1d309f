import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { needing } from './support/needs.ts'
import { freePort } from './support/ports.ts'
import { runOnTerminal, start as startProgram } from './support/program.ts'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { newFolder, startServer } from './support/server.ts'
import { smallDisk } from './support/small-disk.ts'

/** What a server says on stdout. */

const folders: string[] = []
afterAll(() => {
  for (const path of folders) rmSync(path, { recursive: true, force: true })
})

function folder(): string {
  const path = newFolder()
  folders.push(path)
  return path
}

function linesOf(output: string): Record<string, unknown>[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
}

needing('namespaces').test(
  'a full disk is logged with its cause, under the request id that the client was given, and counted',
  async () => {
    const disk = await smallDisk(64)
    const server = await startServer({ dataFolder: disk.dataFolder, command: disk.command })
    try {
      disk.fill()
      let refused: Response
      do {
        refused = await fetch(`${server.url}/v1/c/k`, {
          method: 'PUT',
          body: JSON.stringify('x'.repeat(1_000_000)),
        })
        await refused.clone().text()
      } while (refused.ok)
      const { code, request_id } = (await refused.json()) as { code: string; request_id: string }
      expect(code).toBe('storage_full')
      expect(refused.headers.get('x-request-id')).toBe(request_id)
      while (!server.output().includes(request_id)) await Bun.sleep(10)
      const reported = linesOf(server.output()).find((line) => line.request_id === request_id)
      expect(reported).toMatchObject({
        level: 'error',
        message: 'the disk is full',
        method: 'PUT',
        path: '/v1/c/k',
        error: { code: 'storage_full', cause: { code: 'ENOSPC' } },
      })
      const samples = parseSamples(await (await fetch(`${server.url}/metrics`)).text())
      expect(sampleOf(samples, 'internal_error_count', { code: 'storage_full' })).toBeGreaterThan(0)
      disk.makeRoom()
    } finally {
      await server.remove()
      await disk.remove()
    }
  },
)

test('whoever reads the log may go away', async () => {
  const child = startProgram(['serve', '--port', '0', '--data', folder(), '--access-log'], {})
  const reader = child.stdout.getReader()
  const first = linesOf(new TextDecoder().decode((await reader.read()).value))[0]!
  await reader.cancel()
  for (let i = 0; i < 20; i++) expect((await fetch(`${first.url}/healthz`)).status).toBe(200)
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
})

test('below the level nothing is said', async () => {
  const port = String(freePort())
  const child = startProgram(['serve', '--port', port, '--data', folder(), '--log-level', 'error'], {})
  const ready = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await ready())) await Bun.sleep(20)
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
  expect(await child.stdout.text()).toBe('')
})

test('on a terminal it is words', async () => {
  const terminal = runOnTerminal(['serve', '--port', '0', '--data', folder()])
  await terminal.shows('kvist serves')
  terminal.signal('SIGTERM')
  await terminal.shows('stopped')
  const [first] = stripVTControlCharacters(terminal.screen()).split('\r\n')
  expect(first).toMatch(
    /^\d\d:\d\d:\d\d kvist serves http:\/\/127\.0\.0\.1:\d+\/v1, with its console at http:\/\/127\.0\.0\.1:\d+\/console and its docs at http:\/\/127\.0\.0\.1:\d+\/docs url=\S+ data=\S+ durability=full$/,
  )
  expect(await terminal.exited).toBe(0)
})
