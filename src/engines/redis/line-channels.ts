import type { Cluster } from './cluster.ts'
import { faultOf } from './errors.ts'
import type { LineKeys } from './layout.ts'
import { decodePublished, type PublishedGroup } from './published.ts'
import openLineScript from './scripts/open-line.lua' with { type: 'text' }

/** Results of groups are kept for this long, in which they may be sent again. */
const keptResultsMs = 3_600_000

/** Prepares the lines for a server that starts, and returns stamps that its own must exceed. */
export async function openLines(cluster: Cluster, lines: readonly LineKeys[]): Promise<number[]> {
  const script = cluster.script(openLineScript)
  async function open({ slot, channel, ...keys }: LineKeys): Promise<number[]> {
    const { head, records, values, order, members, tombstones, expiries, sizes } = keys
    const names = [head, records, values, order, members, tombstones, expiries, sizes]
    const { reply } = await cluster.write(slot, ['EVALSHA', script, names.length, ...names, keptResultsMs])
    return Array.isArray(reply) ? reply.map((stamp) => Number(stamp ?? 0)) : []
  }
  try {
    return (await Promise.all(lines.map(open))).flat()
  } catch (error) {
    throw new Error(`redis: the store cannot be opened: ${faultOf(error).message}`, { cause: error })
  }
}

export interface LineListener {
  received(line: number, group: PublishedGroup): void
  /** The line's channel was subscribed again: messages before this may have been missed. */
  subscribedAgain(line: number): void
}

/** Subscribes the channel of each line. Resolves when all are subscribed. */
export function subscribeLines(
  cluster: Cluster,
  lines: readonly LineKeys[],
  listener: LineListener,
): Promise<void> {
  const lineOf = new Map(lines.map(({ channel }, line) => [channel, line]))
  const missing = new Set(lineOf.keys())
  return new Promise((resolve) => {
    cluster.subscribe(
      lines.map(({ slot, channel }) => ({ slot, name: channel })),
      {
        onMessage: ({ name }, payload) => listener.received(lineOf.get(name)!, decodePublished(payload)),
        onSubscribed: ({ name }) => {
          if (!missing.delete(name)) listener.subscribedAgain(lineOf.get(name)!)
          else if (missing.size === 0) resolve()
        },
      },
    )
  })
}
