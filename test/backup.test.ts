import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { verifyBackup } from '../src/backup/read-backup.ts'
import { serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { run, start } from './support/program.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'
import { smallDisk } from './support/small-disk.ts'

/** Backups of a server by HTTP and by the command, and what becomes of them when something ends in the middle. */

const token = 'root-token-of-this-test'
const folder = newFolder()
let server: TestServer
let kvist: Kvist
/** Random bytes, so that a backup is too large for the buffers of a connection. */
const filler = () => crypto.getRandomValues(new Uint8Array(60_000))

beforeAll(async () => {
  mkdirSync(folder, { recursive: true })
  server = await startServer({ env: { KVIST_TOKEN: token } })
  kvist = new Kvist(server.url, { token })
  const files = kvist.collection('files')
  for (let i = 0; i < 400; i++) await files.putRaw(`f${i}`, filler(), 'image/png')
  const users = kvist.collection('users')
  await users.setSettings({ default_ttl: 3600 })
  await users.put('ann', { name: 'Ann' }, { expireIn: 'never' })
  await users.put('bo', { name: 'Bo' })
  await kvist.tokens.create({ name: 'app', grants: [{ collections: 'users', can: ['read'] }] })
})
afterAll(async () => {
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
})

function command(args: readonly string[], env: Record<string, string> = {}) {
  return run(args, { env: { KVIST_URL: server.url, KVIST_TOKEN: token, ...env } })
}

/** Asks for a backup until none is under way: the server frees the place when it notices that the client of one is gone. */
async function freshBackup(signal: AbortSignal | null = null): Promise<Response> {
  for (;;) {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${server.url}/v1/_backup`, { headers, signal })
    if (response.status === 200) return response
    expect([response.status, await response.json()]).toMatchObject([503, { code: 'busy' }])
    await Bun.sleep(10)
  }
}

/** Runs `kvist backup PATH`, again while an earlier one is being ended. */
async function backUp(path: string): Promise<void> {
  for (;;) {
    const { exitCode, stderr } = await command(['backup', path])
    if (stderr.includes('a backup is being taken already')) await Bun.sleep(10)
    else {
      expect([exitCode, exitCode === 0 ? '' : stderr]).toEqual([0, ''])
      return
    }
  }
}

/**
 * Kills a command with SIGKILL while something half done is there, and returns whether it still is: one that was quicker
 * is run again, up to ten times.
 */
async function isKilled(
  args: readonly string[],
  isHalfDone: () => boolean,
  again: () => void = () => {},
): Promise<boolean> {
  for (let tries = 0; tries < 10; tries++) {
    if (tries > 0) again()
    const child = start(args, { KVIST_URL: server.url, KVIST_TOKEN: token })
    while (!isHalfDone() && child.exitCode === null) await Bun.sleep(1)
    child.kill('SIGKILL')
    await child.exited
    if (isHalfDone()) return true
  }
  return false
}

test('one backup at a time: a second one is busy, and a client that goes away frees its place', async () => {
  const abort = new AbortController()
  const headers = { authorization: `Bearer ${token}` }
  const first = await freshBackup(abort.signal)
  expect([first.status, first.headers.get('content-type')]).toEqual([200, 'application/octet-stream'])
  const second = await fetch(`${server.url}/v1/_backup`, { headers })
  expect([second.status, await second.json()]).toMatchObject([503, { code: 'busy' }])
  abort.abort()
  await (await freshBackup()).body?.cancel()
})

test('the tokens and settings of a restored store work, and its feed goes on from where it was', async () => {
  const path = join(folder, 'whole.kvist')
  await backUp(path)
  const before = await kvist.changesPage({ since: 'now' })
  const data = join(folder, 'restored')
  expect(await command(['restore', path, '--data', data])).toMatchObject({ exitCode: 0 })
  const copy = await serveInProcess({ dataFolder: data, env: { KVIST_TOKEN: token } })
  try {
    const restored = new Kvist(copy.url, { token })
    expect((await restored.tokens.list()).map(({ name }) => name)).toEqual(['app'])
    expect(await restored.collection('users').settings()).toMatchObject({ default_ttl: 3600 })
    expect((await restored.collection('users').get('ann'))?.value).toEqual({ name: 'Ann' })
    expect((await restored.changesPage({ since: before.next })).changes).toEqual([])
    await restored.collection('users').put('cy', 1)
    expect((await restored.changesPage({ since: before.next })).changes).toMatchObject([{ key: 'cy' }])
  } finally {
    await copy.stop()
  }
})

test('one collection comes back with times of expiry and settings, over members only with --merge', async () => {
  const path = join(folder, 'one.kvist')
  await backUp(path)
  const users = kvist.collection('users')
  const refused = await command(['restore', path, '-c', 'users'])
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    'kvist: users has 2 members: say --as ANOTHER, or --merge to restore into it\n',
  ])
  expect(await command(['restore', path, '-c', 'users', '--as', 'copies'])).toMatchObject({ exitCode: 0 })
  const copies = kvist.collection('copies')
  expect(await copies.settings()).toMatchObject({ default_ttl: 3600 })
  const [ann, bo] = [await copies.head('ann'), await copies.head('bo')]
  expect([ann?.expires_at, bo?.expires_at]).toEqual([null, (await users.head('bo'))?.expires_at])
  await users.put('ann', { name: 'Changed' })
  expect(await command(['restore', path, '-c', 'users', '--merge'])).toMatchObject({ exitCode: 0 })
  expect((await users.get('ann'))?.value).toEqual({ name: 'Ann' })
  const none = await command(['restore', path, '-c', 'nobody'])
  expect([none.exitCode, none.stderr]).toEqual([1, `kvist: ${path} has no collection nobody\n`])
})

test('a backup that is killed leaves nothing under its name, and the next one works', async () => {
  const path = join(folder, 'killed.kvist')
  const part = join(folder, '.killed.kvist.part')
  const isCut = await isKilled(
    ['backup', path],
    () => existsSync(part),
    () => rmSync(path, { force: true }),
  )
  expect(isCut).toBe(true)
  expect(existsSync(path)).toBe(false)
  await backUp(path)
  await verifyBackup(path)
  expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([])
})

test('a restore that is killed leaves no store, and the next one works', async () => {
  const path = join(folder, 'whole.kvist')
  const data = join(folder, 'killed-restore')
  const restore = ['restore', path, '--data', data]
  const half = join(data, '.restoring', 'kvist.db')
  const isCut = await isKilled(
    restore,
    () => existsSync(half),
    () => rmSync(data, { recursive: true, force: true }),
  )
  expect(isCut).toBe(true)
  expect(existsSync(join(data, 'kvist.db'))).toBe(false)
  expect(await command(restore)).toMatchObject({ exitCode: 0 })
  expect(existsSync(join(data, 'kvist.db'))).toBe(true)
  expect(existsSync(join(data, '.restoring'))).toBe(false)
})

test('a server that goes away in the middle, a wrong token and a folder in place of a file have a line each', async () => {
  const path = join(folder, 'never.kvist')
  const half = createServer((socket) => {
    socket.once('data', () => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nkvist backup 1\n\0HEAD', () =>
        socket.destroy(),
      )
    })
  })
  await new Promise<void>((resolve) => half.listen(0, '127.0.0.1', resolve))
  const { port } = half.address() as { port: number }
  const lines = [
    await command(['backup', path], { KVIST_URL: `http://127.0.0.1:${port}` }),
    await command(['backup', path], { KVIST_TOKEN: 'wrong' }),
    await command(['backup', folder]),
    await command(['backup', join(folder, 'none', 'x.kvist')]),
    await command(['restore', join(folder, 'no-such'), '--data', join(folder, 'x')]),
  ]
  half.close()
  for (const { exitCode, stderr } of lines) {
    expect([exitCode, stderr.trimEnd().split('\n').length]).toEqual([1, 1])
    expect(stderr).not.toContain('at ')
  }
  expect(lines[1]?.stderr).toContain('see KVIST_TOKEN')
  expect(existsSync(path)).toBe(false)
  expect(existsSync(join(folder, 'x'))).toBe(false)
})

test('the memory engine has no backup, and says what to do', async () => {
  const memory = await serveInProcess({ store: ['--engine', 'memory'] })
  const response = await fetch(`${memory.url}/v1/_backup`)
  expect([response.status, await response.json()]).toMatchObject([
    501,
    { code: 'not_implemented', detail: expect.stringContaining('kvist export --all') },
  ])
  await memory.stop()
})

needing('namespaces').test(
  'a full disk at the target is a line and leaves nothing; the server goes on and tries again',
  async () => {
    const disk = await smallDisk(8)
    const small = await startServer({
      dataFolder: join(folder, 'source'),
      command: disk.command,
      flags: ['--backup-to', disk.dataFolder],
    })
    try {
      const files = new Kvist(small.url).collection('files')
      for (let i = 0; i < 200; i++) await files.putRaw(`f${i}`, filler(), 'image/png')
      disk.fill(1_000_000)
      const path = join(disk.dataFolder, 'store.kvist')
      const prefix = disk.command.slice(0, disk.command.indexOf('serve'))
      const child = Bun.spawn([...prefix, 'backup', path, '--url', small.url], { stderr: 'pipe' })
      const stderr = await new Response(child.stderr).text()
      expect([await child.exited, stderr.trimEnd().split('\n').length]).toEqual([1, 1])
      expect(stderr).toContain('the disk is full')
      expect(disk.files().filter((name) => !name.startsWith('backup-'))).toEqual([])
      await files.put('after', 1)
      expect((await files.get('after'))?.value).toBe(1)
    } finally {
      await small.remove()
      await disk.remove()
    }
  },
)
