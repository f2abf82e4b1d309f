import { afterEach, expect, test } from 'bun:test'
import { jsonContentType } from '../src/core/member.ts'
import { until } from './support/engine.ts'
import { manualTimers } from './support/manual-timers.ts'
import { startNode, type TestNode } from './support/nodes.ts'
import { random, seedOfRun } from './support/random.ts'

/**
 * What is a conflict, held against what each writer knew: nodes write at random, in a ring or each to each, while their mirrors
 * are stopped and started. Each value is unique, and the test keeps which one its writer replaced.
 */

const running: TestNode[] = []
afterEach(async () => {
  for (const node of running.splice(0).reverse()) await node.stop()
})

const keys = ['k0', 'k1', 'k2', 'k3']

/** A value, and the one that its writer knew when it was written. */
type History = Map<string, string | null>

function isBefore(history: History, earlier: string, later: string): boolean {
  for (let at: string | null = later; at !== null; at = history.get(at) ?? null)
    if (at === earlier) return true
  return false
}

interface Noticed {
  readonly key: string
  readonly lost: string
  readonly kept: string
}

async function currentOf({ db }: TestNode, key: string): Promise<string | null> {
  const member = await db.get('c', key)
  return member === null ? null : (JSON.parse(String(member.value)) as string)
}

test.each(['ring', 'mesh', 'chain'] as const)(
  'in a %s each lost version is noticed, and no other',
  async (shape) => {
    const seed = seedOfRun()
    const r = random(seed)
    const nodes: TestNode[] = []
    for (let i = 0; i < 3; i++) nodes.push(await startNode({ timers: manualTimers() }))
    running.push(...nodes)
    const targetsOf = (at: number): TestNode[] => {
      if (shape === 'mesh') return nodes.filter((_, i) => i !== at)
      // A chain goes both ways, or the ends would never agree.
      if (shape === 'chain') return nodes.filter((_, i) => Math.abs(i - at) === 1)
      return [nodes[(at + 1) % nodes.length]!]
    }
    const history: History = new Map()
    /** The value of each origin, which is what conflicts name. */
    const written = new Map<string, string>()

    async function write(at: number): Promise<void> {
      const node = nodes[at]!
      const key = keys[r.int(keys.length)]!
      const known = await currentOf(node, key)
      const value = `${at}-${history.size}`
      const content = {
        value: JSON.stringify(value),
        contentType: jsonContentType,
        flags: 0,
        expiresAtMs: null,
      }
      // Between the read and the write nothing else may come.
      const condition =
        known === null
          ? ({ ifNoneMatch: 'any' } as const)
          : { ifMatch: [(await node.db.get('c', key))!.revision] }
      const stored = await node.db.put('c', key, content, condition).catch(() => null)
      if (stored === null) return
      history.set(value, known)
      written.set(`${node.db.nodeId} ${stored.clock}`, value)
    }

    for (let step = 0; step < 150; step++) {
      const at = r.int(nodes.length)
      if (r.oneIn(12)) await nodes[at]!.mirror?.stop()
      else if (r.oneIn(6)) {
        await nodes[at]!.mirror?.stop()
        nodes[at]!.mirrorTo(
          targetsOf(at).map(({ url }) => url),
          { isBridge: true },
        )
      } else await write(at)
      if (r.oneIn(4)) await Bun.sleep(r.int(12))
    }
    for (const [at, node] of nodes.entries()) {
      await node.mirror?.stop()
      node.mirrorTo(
        targetsOf(at).map(({ url }) => url),
        { isBridge: true },
      )
    }
    const finals = async (node: TestNode) => Promise.all(keys.map((key) => currentOf(node, key)))
    await until(async () => {
      const all = await Promise.all(nodes.map(finals))
      return all.every((one) => Bun.deepEquals(one, all[0]))
    }, 'all nodes have the same')
    await until(
      () =>
        nodes.every(({ mirror }) =>
          mirror!.status().every(({ state, lagChanges }) => state === 'current' && lagChanges === 0),
        ),
      'everything is sent',
    )

    const noticed: Noticed[] = []
    for (const { db } of nodes) {
      const { conflicts } = await db.conflicts({ collection: null, before: null, limit: 10_000 })
      for (const { key, lost, kept } of conflicts) {
        const of = ({ node, clock }: { node: string; clock: number }) => written.get(`${node} ${clock}`)!
        noticed.push({ key, lost: of(lost), kept: of(kept) })
      }
    }
    const isConflict = ({ lost, kept }: Noticed) =>
      !isBefore(history, lost, kept) && !isBefore(history, kept, lost)
    expect(noticed.filter((one) => !isConflict(one))).toEqual([])
    // Every version is before the final one, or it or one after it was noticed.
    const last = new Set(await finals(nodes[0]!))
    const missed = [...history.keys()].filter(
      (value) =>
        ![...last].some((one) => one !== null && isBefore(history, value, one)) &&
        !noticed.some(({ lost }) => isBefore(history, value, lost)),
    )
    expect(missed).toEqual([])
  },
)
