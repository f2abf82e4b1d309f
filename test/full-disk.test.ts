import { afterAll, beforeAll, expect, test } from 'bun:test'
import { expectProblem, jsonOf, membersIn, put } from './support/answers.ts'
import { startServer, type TestServer } from './support/server.ts'
import { type SmallDisk, smallDisk } from './support/small-disk.ts'

/** When the disk is full writes are refused with 507, reads go on, and with room again so do writes. */

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
    const answers = await Promise.all(Array.from({ length: 8 }, write))
    const refused = answers.find(({ ok }) => !ok)
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

test('a disk that the data itself fills is no different, and dropping makes no lies', async () => {
  await expectFull(await writeUntilRefused())
  await expectKept()
  await server.stop()
  server = await start()
  await expectKept()
  const dropped = await fetch(`${server.url}/v1/lines`, { method: 'DELETE' })
  if (dropped.ok) await jsonOf(dropped)
  else await expectFull(dropped)
  await expectKept()
})
