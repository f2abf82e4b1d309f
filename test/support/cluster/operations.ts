import { wholeCollection } from '../../../src/core/database.ts'
import { KvistError } from '../../../src/core/errors.ts'
import { everything } from '../../../src/core/list.ts'
import { noSettings } from '../../../src/core/settings.ts'
import type { Random } from '../random.ts'
import type { RunningNode } from './node.ts'

/** What clients do at random. */

const dayMs = 86_400_000
const collections = ['c', 'c', 'c', 'c2', 'private']
const keyOf = (r: Random) => `k${r.int(8)}`
const refOf = (r: Random) => ({ collection: r.pick(collections), key: keyOf(r) })

type Operation = (node: RunningNode, r: Random) => Promise<unknown>

/** Past, while the nodes do not agree on the time, long after, or never. */
function expiryAt(nowMs: number, r: Random): number | null {
  const kind = r.int(8)
  if (kind < 3) return null
  if (kind === 3) return nowMs - r.int(1000)
  if (kind < 6) return nowMs + r.int(4000)
  return nowMs + 30 * dayMs + r.int(1000)
}

function contentOf(node: RunningNode, r: Random) {
  const expiresAtMs = expiryAt(node.now(), r)
  const text = `${r.int(1e6)}`
  if (r.oneIn(6)) {
    const value = Buffer.from(`\n${text}\xff`, 'latin1')
    return { value, contentType: 'image/png', flags: r.int(3), expiresAtMs }
  }
  const value = r.oneIn(6) ? `{\n"n": ${text}}` : text
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

/** Each with how often it is chosen, relative to the others. */
const operations: readonly (readonly [number, Operation])[] = [
  [20, put],
  [6, remove],
  [12, touch],
  [3, increment],
  [4, batch],
  [2, importMany],
  [2, setSettings],
  [4, read],
  [1, drop],
  [2, sweep],
]
const deck = operations.flatMap(([weight, operation]) => Array<Operation>(weight).fill(operation))

/** Does something at a node. Refusals and the end of the node are no errors. */
export async function randomOperation(node: RunningNode, r: Random): Promise<void> {
  try {
    await r.pick(deck)(node, r)
  } catch (error) {
    if (!(error instanceof KvistError)) throw error
  }
}

function put(node: RunningNode, r: Random) {
  const { collection, key } = refOf(r)
  return node.db.put(collection, key, contentOf(node, r))
}

function remove({ db }: RunningNode, r: Random) {
  const { collection, key } = refOf(r)
  return db.delete(collection, key)
}

function touch({ db, now }: RunningNode, r: Random) {
  return db.touch(refOf(r), expiryAt(now(), r) ?? 'never')
}

function increment({ db }: RunningNode, r: Random) {
  return db.execute({ operations: [{ op: 'increment', ...refOf(r), path: '', by: 1 + r.int(5) }] })
}

function batch(node: RunningNode, r: Random) {
  const operations = Array.from({ length: 1 + r.int(4) }, () => {
    const ref = refOf(r)
    if (r.oneIn(4)) return { op: 'delete' as const, ...ref }
    if (r.oneIn(3)) {
      return { op: 'touch' as const, ...ref, expiresAtMs: expiryAt(node.now(), r) ?? ('never' as const) }
    }
    return { op: 'put' as const, ...ref, ...contentOf(node, r) }
  })
  return node.db.execute({ operations })
}

function importMany(node: RunningNode, r: Random) {
  const members = Array.from({ length: r.int(10) }, () => ({ key: keyOf(r), ...contentOf(node, r) }))
  return node.db.putAll(r.pick(collections), members)
}

function setSettings({ db }: RunningNode, r: Random) {
  const defaultTtlMs = r.pick([2000, 30 * dayMs])
  const settings = r.oneIn(3) ? null : { ...noSettings, defaultTtlMs, sliding: r.oneIn(2) }
  return db.setSettings(r.pick(collections), settings)
}

/** Which may slide the expiry. */
async function read({ db, timers }: RunningNode, r: Random): Promise<void> {
  const { collection, key } = refOf(r)
  await db.get(collection, key)
  if (r.oneIn(2)) timers.pass(100)
}

function drop({ db }: RunningNode, r: Random) {
  const selection = r.oneIn(2) ? { ...everything, prefix: keyOf(r) } : everything
  return db.drop(r.pick(collections), { ...wholeCollection, ...selection })
}

async function sweep({ timers }: RunningNode): Promise<void> {
  timers.pass(1000)
}
