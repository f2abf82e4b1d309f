import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Stored } from '../sdk/types.ts'
import { until } from './support/engine.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { manualTimers } from './support/manual-timers.ts'
import { needing } from './support/needs.ts'
import { countsOf, expectProblem, jsonOf, membersIn, type Page, put } from './support/responses.ts'
import { startServer } from './support/server.ts'

/** Nothing expired is ever returned, to the millisecond; what has expired is swept, and leaves a tombstone of its kind. */

/** The clock of the server. */
let nowMs = Date.UTC(2030, 0, 1)
const timers = manualTimers()

let server: ServerInProcess
beforeAll(async () => {
  server = await serveInProcess({ now: () => nowMs, timers })
})
afterAll(() => server.stop())

/** Lets the sweeper delete what has expired by now. */
async function sweep(): Promise<void> {
  await put(`${server.url}/v1/swept-last/k?expire_in=0.001`, '1')
  nowMs++
  await until(async () => {
    timers.pass(1000)
    return (await countsOf(server.url, 'swept-last')) === null
  }, 'it is swept')
}

/** Asks whether a member is there. */
type Probe = (collection: string, key: string) => Promise<boolean>

const probes: Readonly<Record<string, Probe>> = {
  async get(collection, key) {
    return is(await fetch(`${collection}/${key}`), 200, 404)
  },
  async head(collection, key) {
    return is(await fetch(`${collection}/${key}`, { method: 'HEAD' }), 200, 404)
  },
  async 'not modified'(collection, key) {
    return is(await fetch(`${collection}/${key}`, { headers: { 'if-none-match': '*' } }), 304, 404)
  },
  async list(collection, key) {
    const { members } = await jsonOf<Page>(fetch(`${collection}?filter=${key}`))
    return members.length === 1
  },
  async 'list of keys'(collection, key) {
    const { members } = await jsonOf<Page>(fetch(`${collection}?include=keys&from=${key}&limit=1`))
    return members[0]?.key === key
  },
  async stream(collection, key) {
    const lines = await fetch(`${collection}?from=${key}`, { headers: { accept: 'application/x-ndjson' } })
    return (await lines.text()).includes(`"key":"${key}"`)
  },
  async 'batch check'(collection, key) {
    const name = collection.slice(collection.lastIndexOf('/') + 1)
    const body = JSON.stringify({ checks: [{ collection: name, key, revision: null }], operations: [] })
    return is(await fetch(`${server.url}/v1/_batch`, { method: 'POST', body }), 412, 200)
  },
  async 'compare and set'(collection, key) {
    // A condition that never holds: nothing is written, and the response says why.
    const reply = await put(`${collection}/${key}`, '1', { 'if-match': '"1000000000"' })
    return (await expectProblem(reply, 412, 'precondition_failed')).revision !== null
  },
}

function is({ status }: Response, there: number, gone: number): boolean {
  if (status === there) return true
  expect(status).toBe(gone)
  return false
}

for (const [name, probe] of Object.entries(probes)) {
  test(`is exact for ${name}`, async () => {
    const collection = `${server.url}/v1/exact-${name.replaceAll(' ', '-')}`
    const lives: { key: string; expiresAtMs: number }[] = []
    for (let i = 0; i < 6; i++) {
      const key = `k${i}`
      const stored = await jsonOf<Stored>(put(`${collection}/${key}?expire_in=${0.35 + i * 0.27}`, '{"a":1}'))
      lives.push({ key, expiresAtMs: Date.parse(stored.expires_at!) })
    }
    const isThere = async () => {
      const found = []
      for (const { key } of lives) found.push(await probe(collection, key))
      return found
    }
    for (const [i, { expiresAtMs }] of lives.entries()) {
      nowMs = expiresAtMs - 1
      expect(await isThere()).toEqual(lives.map((_, j) => j >= i))
      nowMs = expiresAtMs
      expect(await isThere()).toEqual(lives.map((_, j) => j > i))
      if (i % 2 === 0) continue
      await sweep()
      expect(await isThere()).toEqual(lives.map((_, j) => j > i))
    }
  })
}

test('what is written over an expired member is new: 201, its own times, and it stays', async () => {
  const collection = `${server.url}/v1/again`
  const keys = Array.from({ length: 20 }, (_, i) => `k${String(i).padStart(2, '0')}`)
  const old = await Promise.all(
    keys.map((key) => jsonOf<Stored>(put(`${collection}/${key}?expire_in=0.05`, '{"n":5}'))),
  )
  nowMs += 50
  for (const [i, key] of keys.entries()) {
    const url = `${collection}/${key}`
    if (i % 4 === 0) {
      const response = await put(url, '1')
      expect(response.status).toBe(201)
      const stored = await jsonOf<Stored>(response)
      expect(stored.created_at > old[i]!.created_at).toBe(true)
      expect(stored.expires_at).toBeNull()
    } else if (i % 4 === 1) {
      expect((await put(url, '1', { 'if-none-match': '*' })).status).toBe(201)
    } else if (i % 4 === 2) {
      const operations = [{ op: 'increment', collection: 'again', key, path: '/n' }]
      await jsonOf(fetch(`${server.url}/v1/_batch`, { method: 'POST', body: JSON.stringify({ operations }) }))
      expect(await (await fetch(url)).text()).toBe('{"n":1}')
      expect((await fetch(url)).headers.get('kvist-expires-at')).toBeNull()
    } else {
      await expectProblem(await fetch(url, { method: 'DELETE' }), 404, 'not_found')
      expect((await put(url, '1')).status).toBe(201)
    }
  }
  nowMs += 300
  await sweep()
  expect((await membersIn(collection)).map(({ key }) => key)).toEqual(keys)
  expect((await countsOf(server.url, 'again'))?.members).toBe(20)
})

test('a later expiry takes the place of an earlier one, and none takes it away', async () => {
  const collection = `${server.url}/v1/changed`
  await put(`${collection}/later?expire_in=0.3`, '1')
  await put(`${collection}/later?expire_in=1h`, '2')
  await put(`${collection}/never?expire_in=0.3`, '1')
  await put(`${collection}/never`, '2')
  await put(`${collection}/sooner?expire_in=1h`, '1')
  await put(`${collection}/sooner?expire_in=0.3`, '2')
  nowMs += 300
  await sweep()
  expect((await membersIn(collection)).map(({ key }) => key)).toEqual(['later', 'never'])
})

needing('process').test('what has expired is swept, and leaves tombstones that say so', async () => {
  const server = await startServer()
  const lines = Array.from({ length: 3000 }, (_, i) => `{"key":"${i}","value":${i},"expire_in":0.5}`)
  lines.push('{"key":"stays","value":1}', '{"key":"stays-long","value":1,"expire_in":"1h"}')
  const imported = await fetch(`${server.url}/v1/swept`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
  expect(await jsonOf(imported)).toEqual({ stored: 3002, failed: [] })
  await put(`${server.url}/v1/swept/deleted?expire_in=1h`, '1')
  await fetch(`${server.url}/v1/swept/deleted`, { method: 'DELETE' })
  await until(async () => (await countsOf(server.url, 'swept'))!.members <= 2, 'they are swept')
  expect(await countsOf(server.url, 'swept')).toEqual({ members: 2, bytes: 5 + 1 + 10 + 1 })

  await put(`${server.url}/v1/restart/gone?expire_in=0.2`, '1')
  await put(`${server.url}/v1/restart/stays`, '1')
  expect(await server.stop()).toBe(0)
  {
    using db = new Database(join(server.dataFolder, 'kvist.db'), { readonly: true })
    const causes = db
      .query('SELECT cause, count(*) FROM tombstones WHERE collection = ? GROUP BY cause ORDER BY cause')
      .values('swept')
    expect(causes).toEqual([
      ['delete', 1],
      ['expire', 3000],
    ])
    expect(db.query('SELECT count(*) FROM members WHERE collection = ?').values('swept')).toEqual([[2]])
  }
  await Bun.sleep(200)
  const again = await startServer({ dataFolder: server.dataFolder })
  try {
    expect((await membersIn(`${again.url}/v1/restart`)).map(({ key }) => key)).toEqual(['stays'])
    expect(await countsOf(again.url, 'swept')).toEqual({ members: 2, bytes: 17 })
  } finally {
    await again.stop()
    await server.remove()
  }
})
