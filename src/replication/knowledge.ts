import { msToStamp } from '../core/clock.ts'
import type { Database } from '../core/database.ts'
import type { Write } from '../core/engine.ts'
import { type Follower, follower } from '../core/follower.ts'
import { maxClockAheadMs, maxKnownNodes } from '../core/limits.ts'
import { jsonContentType } from '../core/member.ts'
import type { Origin } from '../core/origin.ts'

/**
 * What a node knows of others: of each, the stamp of its latest write that has reached this node. Writes of a node travel in
 * their order, so this node has seen all of its earlier ones too, or a version that replaced them. A mirror sends this along
 * with its changes: a version that the sender knew was replaced knowingly, and is no conflict.
 */

/** Stamps by node. */
export type Stamps = ReadonlyMap<string, number>

export interface Knowledge {
  readonly follower: Follower
  /** Whether a version has reached this node, from wherever; those that it wrote itself have. */
  has(version: Origin): boolean
  /** Formats the stamps for other nodes. */
  text(): string
  /** Takes over stamps; larger ones stay. */
  learn(stamps: Stamps): void
  /** Stores what is not stored yet; with `maybe` not more often than once a second. */
  save(maybe?: 'maybe'): Promise<void>
}

const knowledgeCollection = '_knowledge'
/** What is learned within this time before a crash is forgotten: then known versions may count as conflicts. */
const saveEveryMs = 1000

export interface KnowledgeOptions {
  readonly db: () => Pick<Database, 'nodeId' | 'write'>
  readonly now: () => number
}

export function nodeKnowledge({ db, now }: KnowledgeOptions): Knowledge {
  const stamps = new Map<string, number>()
  const unsaved = new Set<string>()
  let text: string | null = null
  let savedMs = Number.NEGATIVE_INFINITY

  function take(node: string, clock: number): boolean {
    if ((stamps.get(node) ?? 0) >= clock) return false
    stamps.set(node, clock)
    text = null
    return true
  }

  /** Forgets the nodes of which nothing came for the longest time. */
  function forgetOldest(): Write[] {
    const oldest = [...stamps].toSorted(([, a], [, b]) => a - b).slice(0, stamps.size - maxKnownNodes)
    for (const [node] of oldest) {
      stamps.delete(node)
      unsaved.delete(node)
    }
    return oldest.map(([key]) => ({ op: 'delete', collection: knowledgeCollection, key, cause: 'delete' }))
  }

  function isDue(): boolean {
    return now() - savedMs >= saveEveryMs || now() < savedMs || stamps.size > maxKnownNodes
  }

  async function save(maybe?: 'maybe'): Promise<void> {
    if (unsaved.size === 0 || (maybe !== undefined && !isDue())) return
    savedMs = now()
    const deletes = stamps.size > maxKnownNodes ? forgetOldest() : []
    const puts = Array.from(unsaved, (node) => recordOf(node, stamps.get(node)!))
    unsaved.clear()
    text = null
    await db().write([...deletes, ...puts], 'relaxed')
  }

  return {
    follower: follower({
      collection: knowledgeCollection,
      take(node, member) {
        if (member !== null) take(node, Number(member.value))
      },
      keys: () => [],
    }),
    has: ({ node, clock }) => (stamps.get(node) ?? 0) >= clock || node === db().nodeId,
    text() {
      text ??= formatted(stamps)
      return text
    },
    learn(given) {
      const { nodeId } = db()
      const latest = msToStamp(now() + maxClockAheadMs)
      for (const [node, clock] of given) {
        if (node !== nodeId && clock <= latest && take(node, clock)) unsaved.add(node)
      }
    },
    save,
  }
}

/** A header has to fit into the head of a request: of very long names only those of the latest writes are sent. */
const maxTextChars = 6 * 1024

function formatted(stamps: Stamps): string {
  const latest = [...stamps].toSorted(([, a], [, b]) => b - a)
  let text = ''
  for (const [node, clock] of latest) {
    const item = `${node}=${clock}`
    if (text.length + item.length >= maxTextChars) break
    text += text === '' ? item : `,${item}`
  }
  return text === '' ? 'nothing' : text
}

function recordOf(node: string, clock: number): Write {
  const content = { value: String(clock), contentType: jsonContentType, flags: 0, expiresAtMs: null }
  return { op: 'put', collection: knowledgeCollection, key: node, ...content }
}

/** What the sender of changes says of itself. */
export interface SendersKnowledge {
  readonly stamps: Stamps
  /** With these changes the receiver has everything that the sender has. */
  readonly isComplete: boolean
}

/** The item that says so. */
const complete = '*'

export function formatKnowledge(text: string, isComplete: boolean): string {
  return isComplete ? `${text},${complete}` : text
}

/** Parses what `formatKnowledge` returns, and ignores anything else. */
export function parseKnowledge(text: string): SendersKnowledge {
  const items = text.split(',', maxKnownNodes + 2)
  const stamps = new Map<string, number>()
  for (const item of items) {
    const [, node, clock] = /^([a-z0-9]{1,64})=(\d{1,16})$/.exec(item.trim()) ?? []
    if (node !== undefined) stamps.set(node, Number(clock))
  }
  return { stamps, isComplete: items.some((item) => item.trim() === complete) }
}
