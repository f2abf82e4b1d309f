import type { Ask, AskKind, Contestant } from './contestants.ts'
import { jsonOf, keyOf, writtenValue } from './members.ts'
import { peakMb, peakOwnMb } from './memory.ts'
import { type Server, watchMemory } from './process.ts'
import type { Measure } from './results.ts'
import { runWrk } from './wrk.ts'

/** The loads that each contestant runs, and how one load is run once. */

export interface Load {
  readonly name: string
  readonly title: string
  readonly unit: 'answers/s' | 'members/s'
  /** The store that it runs on: the loaded one, or an empty one that is deleted afterwards. */
  readonly on: 'loaded' | 'empty'
  readonly how: WrkLoad | BulkLoad
  readonly note?: string
}

interface WrkLoad {
  readonly kind: AskKind
  readonly choose: 'one' | 'random'
  readonly connections: number
}

interface BulkLoad {
  readonly kind: 'import' | 'export'
}

const readNote = 'Keys at random, by one request: POST /v1/_read, or MGET through webdis.'

export const loads: readonly Load[] = [
  wrkLoad('get-one', 'GET of one key', { kind: 'get', choose: 'one', connections: 64 }),
  wrkLoad('get-random', 'GET at random', { kind: 'get', choose: 'random', connections: 64 }),
  {
    ...wrkLoad('list', 'list of 100 from a random key', { kind: 'list', choose: 'random', connections: 64 }),
    note: 'webdis has no list of members: MGET of 100 neighbouring keys, each named, is its nearest.',
  },
  {
    ...wrkLoad('read-100', 'read of 100 members', { kind: 'read100', choose: 'random', connections: 64 }),
    note: readNote,
  },
  wrkLoad('read-1000', 'read of 1,000 members, 16 connections', {
    kind: 'read1000',
    choose: 'random',
    connections: 16,
  }),
  wrkLoad('put-1', 'durable PUT, 1 connection', { kind: 'put', choose: 'random', connections: 1 }),
  wrkLoad('put-64', 'durable PUT, 64 connections', { kind: 'put', choose: 'random', connections: 64 }),
  wrkLoad('put-256', 'durable PUT, 256 connections', { kind: 'put', choose: 'random', connections: 256 }),
  {
    ...bulkLoad('import', 'empty'),
    note: 'kvist: one POST of NDJSON. Redis: redis-cli --pipe, not HTTP. etcd: transactions of 1,000 puts, four at once.',
  },
  bulkLoad('export', 'loaded'),
]

function wrkLoad(name: string, title: string, how: WrkLoad): Load {
  return { name, title, unit: 'answers/s', on: 'loaded', how }
}

function bulkLoad(kind: BulkLoad['kind'], on: Load['on']): Load {
  return { name: kind, title: `NDJSON ${kind}`, unit: 'members/s', on, how: { kind } }
}

export interface LoadRun {
  readonly contestant: Contestant
  readonly server: Server
  readonly load: Load
  readonly members: number
  readonly warmupSeconds: number
  readonly seconds: number
  /** Seeds the choice of keys, so that rounds differ and contestants do not. */
  readonly round: number
}

/** Runs a load once on a ready server, and samples its memory meanwhile. */
export async function runLoad(run: LoadRun): Promise<Measure> {
  const { how } = run.load
  if (!('choose' in how)) return await runBulk(run, how.kind)
  const { contestant, members } = run
  await check(contestant, how.kind)
  const wrk = { port: contestant.port, request: askOf(contestant, how.kind), members, ...how }
  if (how.kind !== 'put' && run.warmupSeconds > 0) {
    await runWrk({ ...wrk, seconds: run.warmupSeconds, seed: 1000 + run.round })
  }
  const stopWatching = watchMemory(run.server.pid, 250)
  const figures = await runWrk({ ...wrk, seconds: run.seconds, seed: run.round })
  const samples = stopWatching()
  return { ...figures, peakMb: peakMb(samples), ownMb: peakOwnMb(samples) }
}

async function runBulk({ contestant, server, members }: LoadRun, kind: BulkLoad['kind']): Promise<Measure> {
  const stopWatching = watchMemory(server.pid, 100)
  const startedAt = performance.now()
  await contestant[kind](members)
  const seconds = (performance.now() - startedAt) / 1000
  const peak = peakMb(stopWatching())
  await check(contestant, 'get')
  return {
    perSecond: members / seconds,
    p50Ms: null,
    p99Ms: null,
    p999Ms: null,
    maxMs: null,
    errors: 0,
    peakMb: peak,
  }
}

function askOf({ asks, title }: Contestant, kind: AskKind): Ask {
  const ask = asks[kind]
  if (ask === undefined) throw new Error(`${title} has no ${kind}`)
  return ask
}

/** The members in one response; 1 for the others. */
const membersOf: Partial<Record<AskKind, number>> = { list: 100, read100: 100, read1000: 1000 }

/**
 * Checks the response to one request before the load, because the figures of a server with wrong responses would be
 * worthless.
 */
async function check(contestant: Contestant, kind: WrkLoad['kind']): Promise<void> {
  const { asks, port, notified } = contestant
  const ask = askOf(contestant, kind)
  const reply = await respondTo(ask, port)
  if (kind === 'put') {
    const { text } = await respondTo(asks.get, port)
    if (!text.includes(asks.get.shows(writtenValue)))
      throw new Error(`PUT did not store: ${text.slice(0, 300)}`)
    return
  }
  if (kind === 'get') notified?.(reply.headers)
  const count = membersOf[kind] ?? 1
  const rewritten = reply.text.includes(ask.shows(writtenValue))
  for (let index = 1; index <= count; index++) {
    const holds = rewritten || reply.text.includes(ask.shows(jsonOf(index)))
    if (!holds)
      throw new Error(`${kind} does not give the value of ${keyOf(index)}: ${reply.text.slice(0, 300)}`)
  }
}

/** Returns the response to the request for member 1, or for as many members from 1 on as the request names. */
async function respondTo(ask: Ask, port: number): Promise<{ text: string; headers: Headers }> {
  const hundred = keysFrom1(100).join('/')
  function fill(template: string): string {
    const key64 = Buffer.from(keyOf(1)).toString('base64')
    return template
      .replace('{keys}', hundred)
      .replace('{key}', keyOf(1))
      .replace('{key64}', key64)
      .replace(/\{names:(\d+)\}/, (_, count) => keysFrom1(Number(count)).join('/'))
      .replace(/\{refs:(\d+)\}/, (_, count) => keysFrom1(Number(count)).map(refOf).join(','))
  }
  const reply = await fetch(`http://127.0.0.1:${port}${fill(ask.path)}`, {
    method: ask.method,
    ...(ask.headers && { headers: ask.headers }),
    ...(ask.body !== undefined && { body: fill(ask.body) }),
  })
  const text = await reply.text()
  if (reply.status !== 200 && reply.status !== 201) {
    throw new Error(`${ask.method} ${ask.path.slice(0, 60)} responded ${reply.status}: ${text.slice(0, 300)}`)
  }
  return { text, headers: reply.headers }
}

function keysFrom1(count: number): string[] {
  return Array.from({ length: count }, (_, offset) => keyOf(1 + offset))
}

function refOf(key: string): string {
  return JSON.stringify({ collection: 'bench', key })
}
