import { expect } from 'bun:test'
import { needing } from './support/needs.ts'
import { expectProblem, jsonOf, membersIn, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'
import { type SmallDisk, smallDisk } from './support/small-disk.ts'

const { afterAll, beforeAll, test } = needing('namespaces')

/**
 * When the disk is full puts are refused with 507, reads go on and so does what gives room back; with room again puts do
 * too.
 */

let disk: SmallDisk
let server: TestServer
beforeAll(async () => {
  disk = await smallDisk(160)
  server = await start()
})
afterAll(async () => {
  await server.remove()
  await disk.remove()
})

function start(): Promise<TestServer> {
  return startServer({ dataFolder: disk.dataFolder, command: disk.command })
}

/** What was acknowledged: key to value. What was refused must not be there. */
const kept = new Map<string, string>()
let written = 0

function valueOfKey(key: string): string {
  return JSON.stringify(key.padEnd(100_000, '.'))
}

async function write(): Promise<Response> {
  const key = `k${String(++written).padStart(5, '0')}`
  const response = await put(`${server.url}/v1/c/${key}`, valueOfKey(key))
  if (response.ok) kept.set(key, valueOfKey(key))
  return response
}

/** Several at a time, until one is refused. */
async function writeUntilRefused(): Promise<Response> {
  for (let i = 0; i < 400; i++) {
    const responses = await Promise.all(Array.from({ length: 8 }, write))
    const refused = responses.find(({ ok }) => !ok)
    if (refused !== undefined) return refused
  }
  throw new Error(`never refused, with ${disk.freeBytes()} bytes free`)
}

async function expectKept(): Promise<void> {
  const response = await fetch(`${server.url}/v1/c?include=values`, {
    headers: { accept: 'application/x-ndjson' },
  })
  const found = (await response.text()).trimEnd().split('\n')
  expect(found.map((line) => JSON.parse(line).key)).toEqual([...kept.keys()].sort())
  for (const line of found) {
    const { key, value }: { key: string; value: string } = JSON.parse(line)
    if (JSON.stringify(value) !== kept.get(key)) throw new Error(`${key} is not what was stored`)
  }
  const some = [...kept.keys()].at(-1)!
  expect((await (await fetch(`${server.url}/v1/c/${some}`)).text()) === kept.get(some)).toBe(true)
}

async function expectFull(response: Response): Promise<void> {
  expect(response.status).toBe(507)
  expect(response.headers.get('retry-after')).not.toBeNull()
  await expectProblem(response, 507, 'storage_full')
}

async function expectWritesSoon(): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await write()).ok) return
    await Bun.sleep(100)
  }
  throw new Error('with room on the disk writes are still refused')
}

test('writes are refused with 507 and leave nothing; reads go on', async () => {
  for (let i = 0; i < 20; i++) expect((await write()).status).toBe(201)
  disk.fill()
  await expectFull(await writeUntilRefused())
  await expectKept()

  const big = JSON.stringify('x'.repeat(1_000_000))
  const operations = `{"operations":[
    {"op":"put","collection":"other","key":"small","value":1},
    {"op":"put","collection":"other","key":"big","value":${big}}]}`
  await expectFull(await fetch(`${server.url}/v1/_batch`, { method: 'POST', body: operations }))
  expect(await membersIn(`${server.url}/v1/other`)).toEqual([])

  const lines = Array.from({ length: 100 }, (_, i) => `{"key":"${i}","value":${big}}`).join('\n')
  const response = await fetch(`${server.url}/v1/lines`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines,
  })
  const { stored } = await expectProblem(response, 507, 'storage_full')
  expect((await membersIn(`${server.url}/v1/lines`, '?include=keys')).length).toBe(Number(stored))
  await expectKept()
})

async function expectUnready(): Promise<void> {
  const ready = await fetch(`${server.url}/readyz`)
  expect([ready.status, await ready.text()]).toEqual([503, 'the disk is full\n'])
}

async function remove(key: string): Promise<void> {
  const response = await fetch(`${server.url}/v1/c/${key}`, { method: 'DELETE' })
  expect([key, response.status]).toEqual([key, 204])
  kept.delete(key)
}

function touch(key: string, expireIn: string): Promise<Response> {
  return fetch(`${server.url}/v1/c/${key}?expire_in=${expireIn}`, { method: 'PATCH' })
}

test('on a full disk members are deleted, lives are shortened, and what expires is swept', async () => {
  await expectFull(await put(`${server.url}/v1/c/k00001`, '1'))
  await expectUnready()
  const [first, second, third, ...others] = [...kept.keys()]
  await remove(first!)
  await remove(second!)
  await expectUnready()
  expect((await touch(third!, '1h')).status).toBe(200)
  await expectFull(await touch(third!, '2h'))
  const sweptBefore = await sweptMembers()
  expect((await touch(third!, '1s')).status).toBe(200)
  kept.delete(third!)
  for (let tries = 0; (await sweptMembers()) === sweptBefore; tries++) {
    if (tries === 100) throw new Error('what has expired is not swept')
    await Bun.sleep(100)
  }
  await expectFull(await write())
  await expectUnready()
  const batch = { operations: others.slice(0, 9).map((key) => ({ op: 'delete', collection: 'c', key })) }
  const response = await fetch(`${server.url}/v1/_batch`, { method: 'POST', body: JSON.stringify(batch) })
  expect(response.status).toBe(200)
  for (const { key } of batch.operations) kept.delete(key)
  await expectKept()
})

async function sweptMembers(): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  return Number(/^kvist_expired_total (\d+)/m.exec(metrics)?.[1] ?? Number.NaN)
}

/** The flusher is done, and the reserve whole. */
async function untilReserved(): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const files = disk.files().join()
    if (files.includes('reserve-tables') && !files.includes('log-')) return
    await Bun.sleep(100)
  }
  throw new Error(`the reserve is not made again: ${disk.files()}`)
}

test('deletes on a full disk outlive a kill, and a start on the full disk', async () => {
  for (const end of ['crash', 'stop'] as const) {
    await untilReserved()
    disk.fill()
    await remove([...kept.keys()][0]!)
    await expectFull(await writeUntilRefused())
    await server[end]()
    server = await start()
    await expectKept()
    await expectUnready()
    await remove([...kept.keys()][0]!)
    await expectKept()
  }
})

test('with room again writes go on', async () => {
  disk.makeRoom()
  await expectWritesSoon()
  for (let i = 0; i < 50; i++) expect((await write()).status).toBe(201)
  await expectKept()
})

test('a server that is killed while the disk is full starts again, and has everything', async () => {
  disk.fill()
  await expectFull(await writeUntilRefused())
  await server.crash()
  disk.fill()
  server = await start()
  await expectKept()
  await expectFull(await writeUntilRefused())
  disk.makeRoom()
  await expectWritesSoon()
  await expectKept()
})

test('a disk that the data itself fills has room again when some of it is dropped', async () => {
  await expectFull(await writeUntilRefused())
  await expectKept()
  await server.stop()
  server = await start()
  await expectKept()
  const half = [...kept.keys()].slice(kept.size / 2)
  const dropped = await fetch(`${server.url}/v1/c?from=${half[0]}`, { method: 'DELETE' })
  expect(await jsonOf(dropped)).toEqual({ deleted: half.length })
  for (const key of half) kept.delete(key)
  await expectKept()
  await expectWritesSoon()
  for (let i = 0; i < 50; i++) expect((await write()).status).toBe(201)
  await expectKept()
})
