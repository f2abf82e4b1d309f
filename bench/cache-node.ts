/**
 * Measures a cache node: GET at random of members that it holds, in requests a second and in processor time of the server, beside
 * the same of its origin; and GET of members that it must ask for each time. `--help` lists the options.
 */

import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { importIntoKvist } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { cacheNodeOptions, chooseOptions } from './options.ts'
import {
  killAll,
  processorSeconds,
  removeFolder,
  type Server,
  startServer,
  waitUntilReady,
} from './process.ts'
import { median } from './statistics.ts'
import { runWrk, type WrkFigures } from './wrk.ts'

const kvistProgram = join(import.meta.dir, '../bin/kvist')
const ports = { origin: 17_811, cache: 17_812 }

const ways = [
  { name: 'origin', title: 'the origin', port: ports.origin, headers: {} },
  { name: 'hit', title: 'the cache, from memory', port: ports.cache, headers: {} },
  {
    name: 'passed',
    title: 'the cache, passed on',
    port: ports.cache,
    headers: { 'Cache-Control': 'no-cache' },
  },
] as const

const options = chooseOptions(cacheNodeOptions)
const dataDir = join(resolve(options.text('data')), 'cache-node')
const members = options.number('members')
const running: Server[] = []

async function start(name: string, port: number, flags: readonly string[]): Promise<Server> {
  const server = startServer(name, [kvistProgram, 'serve', '--port', `${port}`, ...flags], dataDir)
  running.push(server)
  await waitUntilReady(server, `http://127.0.0.1:${port}/readyz`, 'ready')
  return server
}

interface Turn {
  readonly figures: WrkFigures
  /** Of the server that the clients speak to. */
  readonly microseconds: number
}

async function measure(): Promise<Map<string, Turn[]>> {
  const origin = await start('origin', ports.origin, ['--data', join(dataDir, 'origin')])
  await importIntoKvist(ports.origin, members)
  const cache = await start('cache', ports.cache, ['--cache-of', `http://127.0.0.1:${ports.origin}`])
  const seconds = options.number('seconds')
  const load = { choose: 'random', members, connections: 64, seconds } as const
  const get = (way: (typeof ways)[number], seed: number) => {
    const { port, headers } = way
    return runWrk({ ...load, port, seed, request: { ...kvistRequests.get, headers } })
  }
  // Fills the cache.
  for (let seed = 1; seed <= 3; seed++) await get(ways[1], seed)
  const found = new Map<string, Turn[]>(ways.map(({ name }) => [name, []]))
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const way of round % 2 === 0 ? ways.toReversed() : ways) {
      const { pid } = way.name === 'origin' ? origin : cache
      const before = processorSeconds(pid)
      const figures = await get(way, round)
      if (figures.errors > 0) throw new Error(`${way.title}: ${figures.errors} went wrong`)
      const microseconds = ((processorSeconds(pid) - before) * 1e6) / (figures.perSecond * seconds)
      found.get(way.name)!.push({ figures, microseconds })
    }
  }
  return found
}

function table(found: ReadonlyMap<string, readonly Turn[]>): string {
  const lines = ways.map(({ name, title }) => {
    const of = (pick: (turn: Turn) => number) => median(found.get(name)!.map(pick))
    const perSecond = Math.round(of(({ figures }) => figures.perSecond))
    const [p50, p99] = [of(({ figures }) => figures.p50Ms), of(({ figures }) => figures.p99Ms)]
    const microseconds = of((turn) => turn.microseconds).toFixed(1)
    return `| ${title} | ${perSecond} | ${microseconds} | ${p50.toFixed(2)} | ${p99.toFixed(2)} |`
  })
  return [
    '| GET, 64 connections | a second | µs of processor | p50 ms | p99 ms |',
    '| --- | --: | --: | --: | --: |',
    ...lines,
  ].join('\n')
}

try {
  removeFolder(dataDir)
  mkdirSync(dataDir, { recursive: true })
  console.log(table(await measure()))
} catch (error) {
  await killAll()
  throw error
} finally {
  for (const server of running.toReversed()) await server.stop()
  removeFolder(dataDir)
}
