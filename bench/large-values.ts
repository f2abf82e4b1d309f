/**
 * Measures what large values cost: how long it takes to write and flush small members into a store with many large
 * values, and into one without, alternately. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import type { Engine, Put } from '../src/core/engine.ts'
import type { Value } from '../src/core/member.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { chooseOptions, largeValuesOptions } from './options.ts'
import { killAll, removeFolder } from './process.ts'
import { median } from './statistics.ts'

const smallPerCommit = 1000

const options = chooseOptions(largeValuesOptions)
const dataDir = join(resolve(options.text('data')), 'large-values')

function put(collection: string, key: string, value: Value): Put {
  const contentType = typeof value === 'string' ? 'application/json' : 'application/octet-stream'
  return { op: 'put', collection, key, value, contentType, flags: 0, expiresAtMs: null }
}

async function write(engine: Engine, writes: readonly Put[]): Promise<void> {
  await engine.commit({ checks: [], writes, nowMs: Date.now() })
}

/** Returns keys spread over the whole key order, so that large and small rows are mixed. */
function spreadKey(i: number): string {
  return (Math.imul(i, 2_654_435_761) >>> 0).toString(36).padStart(7, '0')
}

/** Returns the milliseconds until the small members are in the tables, and the processor time meanwhile. */
async function flushSmall(hasLarge: boolean): Promise<{ wallMs: number; processorMs: number }> {
  const dir = join(dataDir, hasLarge ? 'with' : 'without')
  removeFolder(dir)
  const open = () => openSqlite({ dir, durability: 'relaxed', onCommit: () => {} })
  if (hasLarge) {
    const engine = await open()
    for (let i = 0; i < options.number('megabytes'); i++)
      await write(engine, [put('c', spreadKey(i * 7919), new Uint8Array(1_000_000).fill(i))])
    for (let i = 0; i < options.number('huge'); i++)
      await write(engine, [put('c', spreadKey(i * 104_729), new Uint8Array(15_000_000).fill(i))])
    await engine.close()
  }
  const engine = await open()
  const startedMs = performance.now()
  const before = process.cpuUsage()
  const value = JSON.stringify('x'.repeat(98))
  for (let from = 0; from < options.number('small'); from += smallPerCommit) {
    const keys = Array.from({ length: smallPerCommit }, (_, i) => `${spreadKey(from + i)}-small`)
    await write(
      engine,
      keys.map((key) => put('c', key, value)),
    )
  }
  await engine.close()
  const { user, system } = process.cpuUsage(before)
  return { wallMs: performance.now() - startedMs, processorMs: (user + system) / 1000 }
}

async function compareFlushing(): Promise<void> {
  const wall: Record<'with' | 'without', number[]> = { with: [], without: [] }
  const processor: Record<'with' | 'without', number[]> = { with: [], without: [] }
  for (let round = 0; round < options.number('rounds'); round++) {
    for (const hasLarge of round % 2 === 0 ? [false, true] : [true, false]) {
      const { wallMs, processorMs } = await flushSmall(hasLarge)
      wall[hasLarge ? 'with' : 'without'].push(wallMs)
      processor[hasLarge ? 'with' : 'without'].push(processorMs)
    }
  }
  const ratio = (of: typeof wall) => (median(of.with) / median(of.without)).toFixed(2)
  console.log(`flushing ${options.number('small')} small members`)
  console.log(
    `  without large values ${Math.round(median(wall.without))} ms, with ${Math.round(median(wall.with))} ms`,
  )
  console.log(`  ratio: ${ratio(wall)} of the time, ${ratio(processor)} of the processor's time`)
}

try {
  removeFolder(dataDir)
  await compareFlushing()
} finally {
  await killAll()
  removeFolder(dataDir)
}
