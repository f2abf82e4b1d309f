import type { ComparedNode } from '../../../src/replication/compared-node.ts'
import { startHealer } from '../../../src/replication/heal.ts'
import { comparedRules } from '../../../src/replication/selection.ts'
import type { Random } from '../random.ts'
import type { RunningNode } from './node.ts'

/** Compares a node with one of its targets once and mends what the target lacks, if the network lets it. */
export async function healOnce(
  { compared, now }: RunningNode,
  target: ComparedNode,
  only: readonly string[],
): Promise<void> {
  let hasRun = false
  let notify = () => {}
  const isDone = new Promise<void>((resolve) => {
    notify = resolve
  })
  const healer = startHealer({
    local: compared,
    target,
    now,
    everyMs: 1000,
    isCompared: comparedRules(only, false),
    isCurrent: () => true,
    wroteHere: () => true,
    async sleep(_ms, signal) {
      if (hasRun) notify()
      if (hasRun && !signal.aborted)
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        )
      hasRun = true
    },
    log: { info() {}, warn() {} },
    onError: notify,
  })
  await isDone
  await healer.stop()
}

/** The node as it is reached over a network in which requests and responses are lost. */
export function unreliable(node: ComparedNode, r: Random): ComparedNode {
  async function perhaps<T>(call: () => T | Promise<T>): Promise<T> {
    if (r.oneIn(12)) throw new Error('the request is lost')
    const result = await call()
    if (r.oneIn(12)) throw new Error('the response is lost')
    return result
  }
  return {
    ...node,
    overview: () => perhaps(() => node.overview()),
    digests: (query) => perhaps(() => node.digests(query)),
    versions: (query) => perhaps(() => node.versions(query)),
    states: (refs, atMs) => perhaps(() => node.states(refs, atMs)),
    apply: (lines, sender) => perhaps(() => node.apply(lines, sender)),
  }
}
