import type { EngineStatus, LineStatus, PrimaryStatus, ReplicaStatus } from '../../core/engine-status.ts'
import type { Cluster, Primary } from './cluster.ts'
import type { LineKeys } from './layout.ts'
import type { Reply } from './resp.ts'
import { addressText } from './servers.ts'
import { fieldsOf } from './start-checks.ts'

/** Two numbers of 8 bytes each. */
const gapBytes = 16
/** Each key has one element that stands for none, so that the key exists. */
const sentinels = 1

/** Asks all primaries, and reads of each line only how much it holds. What cannot be reached is null. */
export async function statusOf(
  cluster: Cluster,
  keys: readonly LineKeys[],
  reported: (line: number) => number,
): Promise<EngineStatus> {
  const primaries = cluster.primaries()
  const [primaryStatus, lines] = await Promise.all([
    Promise.all(primaries.map((primary) => primaryOf(cluster, primary))),
    Promise.all(keys.map((line, i) => lineOf(cluster, line, { line: i, reported: reported(i) }))),
  ])
  return { engine: 'redis', primaries: primaryStatus, lines }
}

async function primaryOf(cluster: Cluster, primary: Primary): Promise<PrimaryStatus> {
  const slots = primary.slots.reduce((sum, [from, to]) => sum + to - from + 1, 0)
  const about = { address: addressText(primary), slots }
  const unknown = primary.replicas.map((replica) => ({ address: addressText(replica), lagBytes: null }))
  try {
    const info = fieldsOf(await cluster.ask(primary, ['INFO', 'server', 'memory', 'replication']))
    const max = Number(info.get('maxmemory') ?? 0)
    return {
      ...about,
      version: info.get('valkey_version') ?? info.get('redis_version') ?? null,
      memoryBytes: Number(info.get('used_memory') ?? 0),
      maxMemoryBytes: max === 0 ? null : max,
      replicas: replicasOf(info, unknown),
    }
  } catch {
    return { ...about, version: null, memoryBytes: null, maxMemoryBytes: null, replicas: unknown }
  }
}

/** `slave0:ip=127.0.0.1,port=7003,state=online,offset=1234,lag=0` for each that is connected. */
function replicasOf(info: ReadonlyMap<string, string>, known: readonly ReplicaStatus[]): ReplicaStatus[] {
  const offset = Number(info.get('master_repl_offset') ?? 0)
  const connected = [...info].flatMap(([name, value]) => {
    if (!/^slave\d+$/.test(name)) return []
    const fields = new Map(value.split(',').map((field) => field.split('=') as [string, string]))
    const address = addressText({ host: fields.get('ip') ?? '', port: Number(fields.get('port')) })
    return [{ address, lagBytes: Math.max(0, offset - Number(fields.get('offset') ?? 0)) }]
  })
  const missing = known.filter(({ address }) => !connected.some((one) => one.address === address))
  return [...connected, ...missing]
}

async function lineOf(
  cluster: Cluster,
  keys: LineKeys,
  about: Pick<LineStatus, 'line' | 'reported'>,
): Promise<LineStatus> {
  const { slot, head, records, values, order, members, tombstones, expiries, sizes } = keys
  const owner = cluster
    .primaries()
    .find(({ slots }) => slots.some(([from, to]) => from <= slot && slot <= to))
  const known = { ...about, primary: owner === undefined ? null : addressText(owner) }
  const all = [head, records, values, order, members, tombstones, expiries, sizes]
  const read = (...command: readonly string[]) => cluster.read(slot, command)
  try {
    const [found, live, gone, ...memory] = await Promise.all([
      read('HMGET', head, 'rev', 'gaps'),
      read('ZCARD', members),
      read('ZCARD', tombstones),
      ...all.map((key) => read('MEMORY', 'USAGE', key)),
    ])
    const [revision, gaps] = found as readonly (Buffer | null)[]
    return {
      ...known,
      revision: Number(String(revision ?? 0)),
      members: numberOf(live) - sentinels,
      tombstones: numberOf(gone) - sentinels,
      memoryBytes: memory.reduce<number>((sum, bytes) => sum + numberOf(bytes), 0),
      gaps: (gaps?.length ?? 0) / gapBytes,
    }
  } catch {
    return { ...known, revision: null, members: null, tombstones: null, memoryBytes: null, gaps: null }
  }
}

function numberOf(reply: Reply | undefined): number {
  return typeof reply === 'number' ? reply : 0
}
