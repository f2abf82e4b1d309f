import { join } from 'node:path'
import { cityOf } from './cities.ts'
import { startKvist } from './kvist-server.ts'
import { keyOf } from './members.ts'
import { peakMb } from './memory.ts'
import { mainThreadSeconds, processorSeconds, type Server, watchMemory } from './process.ts'
import { runWrk } from './wrk.ts'

/**
 * Builds of indexes over HTTP: an index over many members while nobody writes, and beside 64 connections that write without pause, into
 * another collection or over the members themselves. Their rate beside the build is compared with that right before it and right after
 * it (once it is built, writes over its members keep the index too), also by the second of processor time of the server's main thread:
 * that is what it would be if the machine had nothing else to do, as far as that thread bounds it.
 */

const port = 17_731
const url = `http://127.0.0.1:${port}/v1`
const connections = 64
const sliceSeconds = 3
/** Before and after a build: half a minute, in which the log is flushed, as it is during a build. */
const slicesOfRate = 10
const importedAtOnce = 20_000

const json = { 'content-type': 'application/json' }
const writers = [
  ['into another collection', 'others'],
  ['over its members', 'cities'],
] as const

interface Built {
  readonly seconds: number
  /** Of the main thread, and of all threads, in seconds. */
  readonly thread: number
  readonly processor: number
  readonly peakMb: number
}

async function send(path: string, method: string, body: string, headers = json): Promise<string> {
  const response = await fetch(`${url}${path}`, { method, body, headers })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`)
  return text
}

async function fill(members: number): Promise<void> {
  for (let from = 0; from < members; from += importedAtOnce) {
    const count = Math.min(importedAtOnce, members - from)
    const lines = Array.from(
      { length: count },
      (_, i) => `{"key":"${keyOf(from + i)}","value":${cityOf(from + i)}}\n`,
    )
    await send('/cities', 'POST', lines.join(''), { 'content-type': 'application/x-ndjson' })
  }
}

const setIndexes = (indexes: readonly object[]) =>
  send('/_collections/cities', 'PUT', JSON.stringify({ indexes }))

async function isReady(): Promise<boolean> {
  const { indexes } = JSON.parse(await (await fetch(`${url}/_collections/cities`)).text())
  return indexes.every(({ state }: { state: string }) => state === 'ready')
}

/** Waits until the flusher, and the removal of entries of a former index, are done. */
async function untilIdle(pid: number): Promise<void> {
  for (let idle = 0; idle < 3; ) {
    const before = processorSeconds(pid)
    await Bun.sleep(1000)
    idle = processorSeconds(pid) - before < 0.05 ? idle + 1 : 0
  }
}

async function build({ pid }: Server, field: string): Promise<Built> {
  const memory = watchMemory(pid, 100)
  const [thread, processor] = [mainThreadSeconds(pid), processorSeconds(pid)]
  const startMs = performance.now()
  await setIndexes([{ name: 'measured', on: [field] }])
  while (!(await isReady())) await Bun.sleep(50)
  const seconds = (performance.now() - startMs) / 1000
  return {
    seconds,
    thread: mainThreadSeconds(pid) - thread,
    processor: processorSeconds(pid) - processor,
    peakMb: peakMb(memory()),
  }
}

function write(collection: string, members: number, seed: number) {
  return runWrk({
    ...{ port, choose: 'random', members, connections, seconds: sliceSeconds, seed },
    request: { method: 'PUT', path: `/v1/${collection}/{key}`, headers: json, body: cityOf(seed) },
  })
}

interface Rates {
  readonly perSecond: number
  /** By the second of processor time of the server's main thread. */
  readonly perThread: number
}

/** Writes in slices until enough of them are done, and returns the rates of all; a last one that ends after that does not count. */
async function writing(
  { pid }: Server,
  collection: string,
  members: number,
  seed: number,
  areEnough: (slices: number) => boolean,
): Promise<Rates> {
  let [slices, perSecond, thread] = [0, 0, 0]
  do {
    const before = mainThreadSeconds(pid)
    const figures = await write(collection, members, seed + slices)
    if (figures.errors > 0) throw new Error(`${figures.errors} of the writes failed`)
    if (slices > 0 && areEnough(slices)) break
    slices++
    perSecond += figures.perSecond
    thread += mainThreadSeconds(pid) - before
  } while (!areEnough(slices))
  return { perSecond: perSecond / slices, perThread: (perSecond * sliceSeconds) / thread }
}

export async function measureBuilds(dataDir: string, members: number): Promise<void> {
  const server = await startKvist(join(dataDir, 'builds'), 'kvist', port)
  await fill(members)
  await untilIdle(server.pid)
  const alone = await build(server, '@.name')
  console.log(`index over ${members} members, nobody writes: ${shown(alone)}`)
  for (const [i, [name, collection]] of writers.entries()) {
    await setIndexes([])
    await write(collection, members, i)
    await untilIdle(server.pid)
    const slices = (seed: number) =>
      writing(server, collection, members, seed, (count) => count >= slicesOfRate)
    const before = await slices(1000 * i)
    let isBuilt = false
    const building = build(server, i === 0 ? '@.population' : '@.country').finally(() => {
      isBuilt = true
    })
    const beside = await writing(server, collection, members, 1000 * i + 100, () => isBuilt)
    const built = await building
    const after = await slices(1000 * i + 900)
    const ratios = ({ perSecond, perThread }: Rates, to: Rates) =>
      `${(perSecond / to.perSecond).toFixed(2)} (${(perThread / to.perThread).toFixed(2)})`
    console.log(
      `beside ${connections} connections that write ${name}: ${shown(built)}; they write ${Math.round(before.perSecond)} a second ` +
        `(${Math.round(before.perThread)} by that of the thread) before, ${ratios(beside, before)} of it meanwhile, ${ratios(after, before)} once it is built; ` +
        `meanwhile ${ratios(beside, after)} of that once it is built`,
    )
  }
  await server.stop()
}

function shown({ seconds, thread, processor, peakMb: mb }: Built): string {
  return `${seconds.toFixed(1)} s (processor: main thread ${thread.toFixed(1)} s, all ${processor.toFixed(1)} s), ${Math.round(mb)} MB at most`
}
