/**
 * Measures what large values cost: how long it takes to write and flush small members into a store with many large
 * values, and into one without, alternately. Also how quickly values of 10 kB to 15 MB are read, compared with the same
 * bytes as files served by nginx, if that is installed. `--help` lists the options.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Engine, Put } from '../src/core/engine.ts'
import type { Value } from '../src/core/member.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { chooseOptions, largeValuesOptions } from './options.ts'
import { killAll, removeFolder, startServer, waitUntilReady } from './process.ts'
import { median } from './statistics.ts'

const kvistPort = 17_701
const nginxPort = 17_702
const sizes = [10_000, 100_000, 1_000_000, 15_000_000]
const readers = 4
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

/** Returns how many bodies per second several clients read, each one after the other. */
async function readsPerSecond(url: string, bytes: number): Promise<number> {
  const untilMs = performance.now() + options.number('seconds') * 1000
  let reads = 0
  async function reader(): Promise<void> {
    while (performance.now() < untilMs) {
      const body = await (await fetch(url)).arrayBuffer()
      if (body.byteLength !== bytes) throw new Error(`${url} gave ${body.byteLength} bytes of ${bytes}`)
      reads++
    }
  }
  await Promise.all(Array.from({ length: readers }, reader))
  return reads / options.number('seconds')
}

function nginxConfig(root: string): string {
  // Its worker must be able to read files that only the current user may read.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `${user} daemon off; pid ${root}/nginx.pid; error_log stderr; worker_processes 1; events {}
    http { access_log off; sendfile on; client_body_temp_path ${root}; proxy_temp_path ${root};
      fastcgi_temp_path ${root}; uwsgi_temp_path ${root}; scgi_temp_path ${root};
      server { listen 127.0.0.1:${nginxPort}; root ${root}; } }`
}

async function compareReading(): Promise<void> {
  const folder = join(dataDir, 'served')
  const files = join(dataDir, 'files')
  removeFolder(folder)
  mkdirSync(files, { recursive: true })
  const engine = await openSqlite({ dir: folder, durability: 'relaxed', onCommit: () => {} })
  for (const bytes of sizes) {
    const value = new Uint8Array(bytes).map((_, i) => i * 31)
    await write(engine, [put('sizes', String(bytes), value)])
    writeFileSync(join(files, String(bytes)), value)
  }
  await engine.close()
  const kvist = join(import.meta.dir, '../bin/kvist')
  const server = startServer('kvist', [kvist, 'serve', '--port', `${kvistPort}`, '--data', folder], dataDir)
  await waitUntilReady(server, `http://127.0.0.1:${kvistPort}/healthz`, '')
  const nginx = Bun.which('nginx')
  writeFileSync(join(dataDir, 'nginx.conf'), nginxConfig(files))
  writeFileSync(join(files, 'index.html'), 'ready')
  const other = nginx && startServer('nginx', [nginx, '-c', join(dataDir, 'nginx.conf')], dataDir)
  if (other) await waitUntilReady(other, `http://127.0.0.1:${nginxPort}/index.html`, 'ready')
  else console.log('nginx is not installed: kvist is read alone')
  for (const bytes of sizes) {
    const own = await readsPerSecond(`http://127.0.0.1:${kvistPort}/v1/sizes/${bytes}`, bytes)
    const line = `GET of ${bytes} bytes: kvist ${own.toFixed(1)} a second`
    if (!other) console.log(line)
    else {
      const theirs = await readsPerSecond(`http://127.0.0.1:${nginxPort}/${bytes}`, bytes)
      console.log(`${line}, nginx ${theirs.toFixed(1)}, ratio ${(own / theirs).toFixed(2)}`)
    }
  }
  await server.stop()
  if (other) await other.stop()
}

try {
  removeFolder(dataDir)
  await compareFlushing()
  await compareReading()
} finally {
  await killAll()
  removeFolder(dataDir)
}
