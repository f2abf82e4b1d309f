import { afterEach, expect } from 'bun:test'
import { existsSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { newFolder, runServe, startServer, type TestServer } from './support/server.ts'
import { smallDisk } from './support/small-disk.ts'

/** The file of the audit log: rotation by SIGHUP, a full disk, the end. Processes of their own. */

const { test } = needing('process')

let server: TestServer
let folder = ''
afterEach(async () => {
  await server?.remove()
  rmSync(folder, { recursive: true, force: true })
})

async function eventually(isSo: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries === 1000) throw new Error(`waited in vain for ${what}`)
    await Bun.sleep(10)
  }
}

function keysIn(text: string): string[] {
  expect(text).toEndWith('\n')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ path, event, lines }) => (event === 'lost' ? `lost ${lines}` : path.split('/').at(-1)))
}

test('SIGHUP goes on in a new file while writes go on: no line is lost, doubled or torn', async () => {
  folder = newFolder()
  const path = join(folder, 'audit.log')
  server = await startServer({ flags: ['--audit-log', path] })
  const keys: string[] = []
  const write = async () => {
    const key = `k${keys.length}`
    keys.push(key)
    expect((await put(`${server.url}/v1/c/${key}`, '1')).status).toBe(201)
  }
  for (let rotation = 1; rotation <= 3; rotation++) {
    for (let i = 0; i < 20; i++) await write()
    renameSync(path, `${path}.${rotation}`)
    server.signal('SIGHUP')
    const writing = Array.from({ length: 20 }, write)
    await Promise.all(writing)
    await eventually(() => existsSync(path), 'the new file')
  }
  await write()
  expect(await server.stop()).toBe(0)
  const files = [`${path}.1`, `${path}.2`, `${path}.3`, path]
  const found = files.flatMap((file) => keysIn(readFileSync(file, 'utf8')))
  expect(found.toSorted()).toEqual(keys.toSorted())
  expect(found.at(-1)).toBe(keys.at(-1)!)
  for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('without the option SIGHUP ends the server, as when its terminal is closed', async () => {
  server = await startServer()
  server.signal('SIGHUP')
  expect(await server.exited).toBe(0)
})

test('a server whose audit log cannot be opened does not start', async () => {
  folder = newFolder()
  const flags = ['--audit-log', join(folder, 'nowhere', 'audit.log'), '--engine', 'memory']
  const { exitCode, output } = await runServe(flags)
  expect(exitCode).toBe(1)
  expect(output).toContain('cannot open the audit log: ENOENT')
})

const withDisk = needing('process', 'namespaces')

withDisk.test(
  'on a full disk writes go on, the log says so, and the gap has a line with its size',
  async () => {
    const disk = await smallDisk(24)
    try {
      folder = newFolder()
      server = await startServer({
        dataFolder: join(folder, 'data'),
        command: disk.command,
        flags: ['--audit-log', join(disk.dataFolder, 'audit.log')],
      })
      const url = (key: string) => `${server.url}/v1/c/${key}`
      expect((await put(url('before'), '1')).status).toBe(201)
      await eventually(() => disk.textOf('audit.log').includes('/before"'), 'the first line')
      disk.fill()

      // Keys as long as they may be: a few thousand lines are more than may wait.
      const long = (i: number) => `${String(i).padStart(5, '0')}${'%C3%A4'.repeat(250)}`
      const rounds = 60
      for (let round = 0; round < rounds; round++) {
        const written = await Promise.all(
          Array.from({ length: 100 }, (_, i) => put(url(long(round * 100 + i)), '1')),
        )
        expect(written.every(({ status }) => status === 201)).toBe(true)
      }
      expect(server.output()).toContain('the audit log cannot be written: ENOSPC')
      expect(server.output()).toContain('writes go on')
      const metrics = await (await fetch(`${server.url}/metrics`)).text()
      const lost = Number(/^kvist_audit_lost_lines_total (\d+)$/m.exec(metrics)?.[1])
      expect(lost).toBeGreaterThan(0)

      disk.makeRoom()
      await eventually(() => server.output().includes('the audit log can be written again'), 'room')
      expect((await put(url('after'), '1')).status).toBe(201)
      expect(await server.stop()).toBe(0)
      const keys = keysIn(disk.textOf('audit.log'))
      const waited = rounds * 100 - lost
      expect(keys).toHaveLength(1 + waited + 1 + 1)
      expect([keys[0], keys.at(-2), keys.at(-1)]).toEqual(['before', `lost ${lost}`, 'after'])
      expect(new Set(keys).size).toBe(keys.length)
    } finally {
      await server.remove()
      await disk.remove()
    }
  },
)
