import { nodeIdLength, randomName } from '../../core/origin.ts'
import type { Cluster } from './cluster.ts'
import { faultOf } from './errors.ts'
import type { RedisOptions } from './options.ts'
import createScript from './scripts/create.lua' with { type: 'text' }
import { slotOf } from './slots.ts'

/** The version of the layout and of the scripts. A store that has had indexes has the second: versions that read the first do not keep them. */
const formats = ['1', '2'] as const
const [format, withIndexes] = formats

/**
 * On a single server there are no primaries to spread lines over, and fewer make larger groups; more than one, so that a
 * batch that a cluster would refuse is refused there too.
 */
const usualLines = { cluster: 16, single: 4 } as const

export interface StoreSettings {
  readonly nodeId: string
  readonly lines: number
}

/**
 * Creates the store if it does not exist yet, and returns what it was created with. Throws an Error of one line if that
 * is not what the options ask for.
 */
export async function openStore(cluster: Cluster, options: RedisOptions): Promise<StoreSettings> {
  const { prefix, placement } = options
  const lines = options.lines ?? (cluster.isSingle ? usualLines.single : usualLines.cluster)
  const key = storeKey(prefix)
  const given = { format, lines: String(lines), placement, node: randomName(nodeIdLength) }
  const script = cluster.script(createScript)
  const command = ['EVALSHA', script, 1, key, ...Object.entries(given).flat()]
  let fields: Map<string, string>
  try {
    const { reply } = await cluster.write(slotOf(key), command)
    fields = fieldsOf(Array.isArray(reply) ? reply : [])
  } catch (error) {
    throw new Error(`redis: the store cannot be opened: ${faultOf(error).message}`, { cause: error })
  }
  const stored = (name: string) => fields.get(name) ?? ''
  if (!formats.some((one) => one === stored('format'))) {
    throw new Error(
      `redis: the store ${prefix} has format ${stored('format')}; this kvist reads formats ${formats.join(' and ')}`,
    )
  }
  if (options.lines !== null && stored('lines') !== given.lines) {
    throw new Error(
      `redis: the store ${prefix} was created with --redis-lines ${stored('lines')}, not ${lines}`,
    )
  }
  if (stored('placement') !== placement) {
    throw new Error(
      `redis: the store ${prefix} was created with --redis-placement ${stored('placement')}, not ${placement}`,
    )
  }
  return { nodeId: stored('node'), lines: Number(stored('lines')) }
}

function storeKey(prefix: string): string {
  return `{${prefix}}store`
}

/** Keeps servers of versions that know no indexes from starting. */
export async function raiseFormat(cluster: Cluster, { prefix }: Pick<RedisOptions, 'prefix'>): Promise<void> {
  const key = storeKey(prefix)
  await cluster.write(slotOf(key), ['HSET', key, 'format', withIndexes]).catch((error: unknown) => {
    throw faultOf(error)
  })
}

function fieldsOf(reply: readonly unknown[]): Map<string, string> {
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), String(reply[i + 1]))
  return fields
}
