import { afterAll, beforeAll, expect, test } from 'bun:test'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { partBytes } from '../src/engines/sqlite/archive/part.ts'
import { readTimeline } from '../src/engines/sqlite/archive/timeline.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { manualTimers } from './support/manual-timers.ts'
import { run } from './support/program.ts'
import { random, seedOfRun } from './support/random.ts'
import { kvistProgram, newFolder } from './support/server.ts'
import { until } from './support/until.ts'

/** The archive as its users meet it: over HTTP, by the command line, and with what goes wrong. */

const root = newFolder()
const [data, archive] = [join(root, 'data'), join(root, 'archive')]
const startMs = Date.parse('2026-03-01T10:00:00Z')
let nowMs = startMs
let server: ServerInProcess

function start(flags: readonly string[] = []): Promise<ServerInProcess> {
  return serveInProcess({ dataFolder: data, now: () => nowMs, flags: ['--archive', archive, ...flags] })
}

const at = (ms: number) => encodeURIComponent(new Date(startMs + ms).toISOString())

async function put(path: string, value: unknown, query = ''): Promise<number> {
  nowMs += 1000
  const response = await fetch(`${server.url}/v1/${path}${query}`, {
    method: 'PUT',
    body: JSON.stringify(value),
  })
  expect(response.ok).toBe(true)
  return ((await response.json()) as { revision: number }).revision
}

async function get(path: string, init: RequestInit = {}) {
  const response = await fetch(`${server.url}/v1/${path}`, init)
  const text = await response.text()
  return { status: response.status, etag: response.headers.get('etag'), text }
}

async function problem(path: string) {
  const { status, text } = await get(path)
  const { code, detail } = JSON.parse(text)
  return { status, code, detail }
}

let first: number

beforeAll(async () => {
  server = await start()
  await until(
    () => readdirSync(archive).some((name) => name.endsWith('.kvist')),
    'the first base backup is taken',
  )
  first = await put('users/ann', { n: 1 }) // 1 s
  await put('users/ann', { n: 2 }) // 2 s
  await put('users/bo', 'b', '?expire_in=60') // 3 s
  nowMs += 1000
  await fetch(`${server.url}/v1/users/ann`, { method: 'DELETE' }) // 4 s
  await put('users/ann', { n: 3 }) // 5 s
  const settings = { method: 'PUT', body: '{"default_ttl":"1d"}' }
  expect((await fetch(`${server.url}/v1/_collections/users`, settings)).ok).toBe(true)
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})

test('a member is shown as it was at a time or a revision', async () => {
  expect(await get(`users/ann?at=${at(1000)}`)).toEqual({ status: 200, etag: `"${first}"`, text: '{"n":1}' })
  expect(await get(`users/ann?at=${first + 1}`)).toMatchObject({ status: 200, text: '{"n":2}' })
  expect(await get(`users/ann?at=${at(4999)}`)).toMatchObject({ status: 404 })
  expect(await get(`users/ann?at=${at(5000)}`)).toMatchObject({ status: 200, text: '{"n":3}' })
  expect(await get(`users/ann?at=${first - 1}`)).toMatchObject({ status: 404 })
  const head = await fetch(`${server.url}/v1/users/ann?at=${first}`, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '7'])
  const known = await get(`users/ann?at=${first}`, { headers: { 'If-None-Match': `"${first}"` } })
  expect(known.status).toBe(304)
})

test('a member that had expired by then was not there', async () => {
  nowMs = startMs + 100_000
  expect(await get(`users/bo?at=${at(62_999)}`)).toMatchObject({ status: 200, text: '"b"' })
  expect(await get(`users/bo?at=${at(63_000)}`)).toMatchObject({ status: 404 })
})

test('what the archive does not have is refused, with what there is', async () => {
  expect(await problem(`users/ann?at=${at(-3_600_000)}`)).toMatchObject({
    status: 422,
    code: 'unprocessable',
    detail: expect.stringMatching(
      /^2026-03-01T09:00:00.000Z is before the oldest base backup of the archive: it has revision \d+, /,
    ),
  })
  expect(await problem(`users/ann?at=${at(10_000_000)}`)).toMatchObject({
    status: 422,
    detail: expect.stringContaining('is after the newest change in the archive'),
  })
  expect(await problem('users/ann?at=999999')).toMatchObject({ status: 422 })
  for (const wrong of ['yesterday', '2026-13-01T00:00:00Z', '', '-1', '1.5', '2026-03-01']) {
    expect(await problem(`users/ann?at=${wrong}`)).toMatchObject({ status: 400, code: 'invalid_parameter' })
  }
  expect(await problem('users/ann?at=1&wait=1s')).toMatchObject({ status: 400 })
  expect(await problem('users/ann?at=1&at=2')).toMatchObject({ status: 400 })
})

test('the history of a member is listed newest first, by page', async () => {
  const all = JSON.parse((await get('_history/users/ann')).text)
  expect(all.next).toBeNull()
  expect(all.versions.map(({ type, bytes }: { type: string; bytes?: number }) => [type, bytes])).toEqual([
    ['put', 7],
    ['delete', undefined],
    ['put', 7],
    ['put', 7],
  ])
  expect(all.versions.at(-1)).toEqual({
    revision: first,
    at: '2026-03-01T10:00:01.000Z',
    type: 'put',
    bytes: 7,
    content_type: 'application/json',
    expires_at: null,
  })
  const page = JSON.parse((await get('_history/users/ann?limit=3&include=values')).text)
  expect(page.versions[0].value).toEqual({ n: 3 })
  const rest = JSON.parse((await get(`_history/users/ann?before=${page.next}`)).text)
  expect(rest.versions).toEqual(all.versions.slice(3))
  expect(JSON.parse((await get('_history/users/nobody')).text)).toEqual({ versions: [], next: null })
  for (const wrong of ['limit=0', 'limit=1001', 'before=0', 'include=all', 'x=1']) {
    expect(await problem(`_history/users/ann?${wrong}`)).toMatchObject({ status: 400 })
  }
})

test('kvist history prints the versions of a server and of a folder alike', async () => {
  const args = ['history', 'ann', '-c', 'users', '--json', '--values']
  const ofServer = await run([...args, '--url', server.url])
  const ofFolder = await run([...args, '--archive', archive])
  expect(ofServer.stderr).toBe('')
  expect(ofFolder).toMatchObject({ exitCode: 0, stderr: '' })
  expect(ofFolder.stdout.toString()).toBe(ofServer.stdout.toString())
  const rows = (await run(['history', 'ann', '-c', 'users', '--archive', archive])).stdout.toString()
  expect(rows.split('\n')[3]).toBe(`${first}\t2026-03-01T10:00:01.000Z\tput\t7`)
  expect(await run(['history', 'nobody', '--archive', archive])).toMatchObject({ exitCode: 1 })
  expect(await run(['history', 'ann', '--archive', root])).toMatchObject({
    exitCode: 1,
    stderr: `kvist: ${root} is not an archive: it has no archive.json\n`,
  })
})

test('the store of a point in time is restored, with its settings, and is a store of its own', async () => {
  const target = join(root, 'restored')
  const time = new Date(startMs + 4500).toISOString()
  const restored = await run(['restore', '--archive', archive, '--at', time, '--data', target])
  expect(restored).toMatchObject({ exitCode: 0 })
  expect(restored.stderr).toMatch(
    /^kvist: restored revision \d+, as of 2026-03-01T10:00:04.500Z: kvist serve --data /,
  )
  const old = await serveInProcess({ dataFolder: target, now: () => startMs + 4500 })
  expect((await fetch(`${old.url}/v1/users/ann`)).status).toBe(404)
  expect(await (await fetch(`${old.url}/v1/users/bo`)).text()).toBe('"b"')
  expect(await (await fetch(`${old.url}/v1/_collections/users`)).json()).toMatchObject({ default_ttl: null })
  await old.stop()
  const wrong = serveInProcess({ dataFolder: target, flags: ['--archive', archive] })
  expect(await wrong.catch((error) => error.message)).toContain('is the archive of another store')
  // One collection, into a server.
  const revision = String(first + 1)
  const args = ['restore', '--archive', archive, '--at-revision', revision, '-c', 'users', '--as', 'was']
  expect(await run([...args, '--url', server.url])).toMatchObject({ exitCode: 0 })
  expect(await get('was/ann')).toMatchObject({ status: 200, text: '{"n":2}' })
})

test('a restore that cannot be done says why, and leaves nothing', async () => {
  const target = join(root, 'nowhere')
  const restore = async (...args: string[]) => {
    const { exitCode, stderr } = await run(['restore', '--archive', archive, '--data', target, ...args])
    expect([exitCode, existsSync(target)]).toEqual([exitCode === 2 ? 2 : 1, false])
    return stderr
  }
  expect(await restore('--at', '2020-01-01T00:00:00Z')).toContain('is before the oldest base backup')
  expect(await restore('--at-revision', '999999')).toContain('is after the newest in the archive')
  expect(await restore('--at', 'noon')).toContain('--at: "noon" is not a time')
  expect(await restore('--at', '2026-03-01T10:00:00Z', '--at-revision', '1')).toContain('are two points')
  expect(await restore('file.kvist', '--at-revision', '1')).toContain('are two sources')
  const part = readTimeline(archive, []).parts.find(({ lastRevision }) => lastRevision > first)!
  // A byte alone, since the server may append to the file meanwhile.
  const flipByte = () => {
    const at = part.offset + partBytes(part) - 1
    const byte = readFileSync(part.path)[at]! ^ 1
    const file = openSync(part.path, 'r+')
    writeSync(file, Buffer.of(byte), 0, 1, at)
    closeSync(file)
  }
  flipByte()
  expect(await restore('--at-revision', String(first + 1))).toContain(
    `${part.path} is damaged at byte ${part.offset}`,
  )
  flipByte()
})

test('a collection that was dropped comes back as it was before, and a lost machine as it was last', async () => {
  await put('orders/1', 'paid')
  const before = new Date(nowMs).toISOString()
  nowMs += 1000
  await fetch(`${server.url}/v1/orders`, { method: 'DELETE' })
  await put('orders/2', 'late')
  // What the server has not archived by itself, a read has it archive.
  expect((await get(`orders/2?at=${encodeURIComponent(new Date(nowMs).toISOString())}`)).status).toBe(200)
  const args = ['restore', '--archive', archive, '--at', before, '-c', 'orders', '--as', 'orders-before']
  expect(await run([...args, '--url', server.url])).toMatchObject({ exitCode: 0 })
  expect(await get('orders-before/1')).toMatchObject({ status: 200, text: '"paid"' })
  await get('_history/orders/2')
  const target = join(root, 'newest')
  expect(await run(['restore', '--archive', archive, '--data', target])).toMatchObject({ exitCode: 0 })
  const found = await serveInProcess({ dataFolder: target, now: () => nowMs })
  expect((await fetch(`${found.url}/v1/orders/1`)).status).toBe(404)
  for (const path of ['orders/2', 'orders-before/1', 'users/ann'])
    expect(await (await fetch(`${found.url}/v1/${path}`)).text()).toBe((await get(path)).text)
  await found.stop()
})

test('a gap has a new base backup taken, and old parts go with the backups that needed them', async () => {
  const timers = manualTimers()
  const [own, kept] = [join(root, 'own'), join(root, 'kept')]
  const flags = ['--archive', kept, '--backup-keep', '1', '--backup-every', '1h']
  let clockMs = startMs
  const serving = () => serveInProcess({ dataFolder: own, now: () => clockMs, timers, flags })
  const bases = () => readdirSync(kept).filter((name) => name.endsWith('.kvist'))
  const files = () => readdirSync(kept).filter((name) => name.endsWith('.kvlog'))
  for (let start = 0; start < 2; start++) {
    const one = await serving()
    timers.pass(0)
    await until(() => bases().length === 1, 'there is a base')
    await fetch(`${one.url}/v1/c/k${start}`, { method: 'PUT', body: '1' })
    await one.stop()
  }
  expect([files().length, bases().length]).toEqual([2, 1])
  // A run without the archive leaves a gap.
  const without = await serveInProcess({ dataFolder: own, now: () => clockMs })
  await fetch(`${without.url}/v1/c/gap`, { method: 'PUT', body: '1' })
  await without.stop()
  const [first = ''] = bases()
  clockMs += 60_000
  const again = await serving()
  await fetch(`${again.url}/v1/c/after`, { method: 'PUT', body: '1' })
  await fetch(`${again.url}/v1/_history/c/after`)
  const isReplaced = () => {
    timers.pass(100)
    return bases().length === 1 && bases()[0] !== first
  }
  await until(isReplaced, 'a new base replaces the old one')
  timers.pass(60_000)
  await until(() => files().length === 1, 'old parts are gone')
  const history = await fetch(`${again.url}/v1/_history/c/after`)
  expect(((await history.json()) as { versions: unknown[] }).versions).toHaveLength(1)
  await again.stop()
})

test('a restore that is killed leaves nothing that the next one does not replace', async () => {
  const target = join(root, 'again')
  const args = [
    kvistProgram,
    'restore',
    '--archive',
    archive,
    '--at-revision',
    String(first),
    '--data',
    target,
  ]
  const chance = random(seedOfRun())
  for (let tries = 0; tries < 4 && !existsSync(join(target, 'kvist.db')); tries++) {
    const restoring = Bun.spawn(args, { stdout: 'ignore', stderr: 'ignore' })
    await Bun.sleep(100 + chance.int(150))
    restoring.kill(9)
    await restoring.exited
  }
  // One may have been done before it was killed.
  if (!existsSync(join(target, 'kvist.db'))) expect(await run(args.slice(1))).toMatchObject({ exitCode: 0 })
  const found = await serveInProcess({ dataFolder: target, now: () => startMs + 1000 })
  expect(await (await fetch(`${found.url}/v1/users/ann`)).text()).toBe('{"n":1}')
  await found.stop()
})

test('a server without an archive, and engines that have none, say so', async () => {
  const plain = await serveInProcess({ dataFolder: join(root, 'plain') })
  for (const path of ['users/ann?at=1', '_history/users/ann']) {
    const response = await fetch(`${plain.url}/v1/${path}`)
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
      501,
      'not_implemented',
    ])
  }
  await plain.stop()
})
