import { afterAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import type { Settings } from '../sdk/settings-types.ts'
import { openDatabase } from '../src/core/database.ts'
import type { Engine } from '../src/core/engine.ts'
import { indexOf } from '../src/core/indexes/definition.ts'
import { checkFolder } from '../src/engines/sqlite/check/check-folder.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { wrongEntries } from './support/index-entries.ts'
import { isLongRun } from './support/long-run.ts'
import { random, seedOfRun } from './support/random.ts'
import { jsonOf, put } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'

/** Indexes and their members agree, however often the server is killed while it builds them and while members change. */

const dataFolder = newFolder()
afterAll(() => rmSync(dataFolder, { recursive: true, force: true }))

const rounds = Number(process.env.KVIST_INDEX_CRASHES ?? (isLongRun ? 12 : 3))
const members = 20_000

const choices: readonly Settings['indexes'][] = [
  [{ name: 'by_a', on: ['@.a', '@.b'] }],
  [
    { name: 'by_a', on: ['@.a', '@.b'] },
    { name: 'one_b', on: ['@.b'], unique: true },
  ],
  [{ name: 'by_a', on: ['@.b'] }],
]

const chance = random(seedOfRun())
const valueText = (a: number, b: number) => `{"a":${a},"b":"${b}"}`

async function fill(url: string): Promise<void> {
  const lines = Array.from({ length: members }, (_, i) => `{"key":"k${i}","value":${valueText(i % 9, i)}}\n`)
  const headers = { 'content-type': 'application/x-ndjson' }
  await jsonOf(fetch(`${url}/v1/c`, { method: 'POST', body: lines.join(''), headers }))
}

async function change(url: string): Promise<void> {
  const at = `${url}/v1/c/k${chance.int(members + 500)}`
  if (chance.oneIn(4)) await fetch(at, { method: 'DELETE' })
  else
    await put(chance.oneIn(5) ? `${at}?expire_in=1` : at, valueText(chance.int(9), chance.int(2 * members)))
}

test('through kills at any moment', async () => {
  for (let round = 0; round < rounds; round++) {
    const server = await startServer({ dataFolder })
    if (round === 0) await fill(server.url)
    let isRunning = true
    const write = async () => {
      while (isRunning) await change(server.url).catch(() => {})
    }
    const writers = Array.from({ length: 4 }, write)
    if (round % 2 === 0) {
      const body = JSON.stringify({ indexes: chance.pick(choices) })
      await put(`${server.url}/v1/_collections/c`, body).catch(() => {})
    }
    await Bun.sleep(30 + chance.int(500))
    await server.crash()
    isRunning = false
    await Promise.all(writers)
  }

  const server = await startServer({ dataFolder })
  const settings = () => jsonOf<Settings>(fetch(`${server.url}/v1/_collections/c`))
  while ((await settings()).indexes.some(({ state }) => state === 'building')) await Bun.sleep(20)
  await server.stop()
  expect((await checkFolder(dataFolder)).findings).toEqual([])
  expect(await wrongInStore()).toEqual([])
})

/** What is wrong with the entries of the indexes that are ready. */
async function wrongInStore(): Promise<string[]> {
  let engine: Engine | null = null
  const db = await openDatabase({
    open: async (onCommit) => {
      engine = await openSqlite({ dir: dataFolder, durability: 'relaxed', onCommit })
      return engine
    },
    cacheBytes: 0,
    now: () => 0,
    onError(error) {
      throw error
    },
  })
  const ready = db.indexesOf('c').filter(({ state }) => state === 'ready')
  const wrong = await Promise.all(ready.map((index) => wrongEntries(engine!, indexOf('c', index))))
  await db.close()
  expect(db.indexesOf('c').length).toBeGreaterThan(0)
  return wrong.flat()
}
