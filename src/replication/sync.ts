import type { MemberRef } from '../core/engine.ts'
import { removalLine } from '../core/entry-lines.ts'
import type { Difference } from './compare.ts'
import type { ComparedNode } from './compared-node.ts'
import type { Side } from './settle.ts'

/**
 * Makes two nodes equal in members of which they differ. All that is written goes through `apply` with its origin: it is
 * done only where it is newer, so it does no harm if clients wrote meanwhile, or if it is repeated.
 */

/** What becomes of a member that one side has, and the other may have deleted: nothing, or it is on both, or on none. */
export type Choice = 'leave' | 'keep' | 'remove'

export interface SyncCounts {
  /** Members and tombstones that a side took from the other. */
  readonly toA: number
  readonly toB: number
  /** Members that were removed because the choice was `remove`. */
  readonly removed: number
  readonly undecided: number
  /** What a node refused, and why it refused the first. */
  readonly refused: number
  readonly detail: string | null
}

export const nothingSynced: SyncCounts = {
  toA: 0,
  toB: 0,
  removed: 0,
  undecided: 0,
  refused: 0,
  detail: null,
}

export function addCounts(one: SyncCounts, other: SyncCounts): SyncCounts {
  return {
    toA: one.toA + other.toA,
    toB: one.toB + other.toB,
    removed: one.removed + other.removed,
    undecided: one.undecided + other.undecided,
    refused: one.refused + other.refused,
    detail: one.detail ?? other.detail,
  }
}

/** How a difference is dealt with. */
export type Step = 'to a' | 'to b' | 'remove' | 'leave'

export function stepOf({ settlement }: Difference, choice: Choice): Step {
  if (settlement.kind === 'copy') return settlement.from === 'a' ? 'to b' : 'to a'
  if (choice === 'keep') return settlement.on === 'a' ? 'to b' : 'to a'
  return choice
}

/** The lines of one request have about so many characters. */
const requestChars = 1024 * 1024

/** Syncs some differences. */
export async function syncDifferences(
  a: ComparedNode,
  b: ComparedNode,
  found: readonly Difference[],
  choice: Choice,
): Promise<SyncCounts> {
  if (found.length === 0) return nothingSynced
  const of = (step: Step) => found.filter((one) => stepOf(one, choice) === step)
  const toB = await copy(a, b, of('to b'))
  const toA = await copy(b, a, of('to a'))
  const removed = await remove(a, b, of('remove'))
  return {
    toA: toA.done,
    toB: toB.done,
    removed: removed.done,
    undecided: of('leave').length,
    refused: toA.refused + toB.refused + removed.refused,
    detail: toB.detail ?? toA.detail ?? removed.detail,
  }
}

interface Done {
  readonly done: number
  readonly refused: number
  readonly detail: string | null
}

async function copy(from: ComparedNode, to: ComparedNode, refs: readonly MemberRef[]): Promise<Done> {
  if (refs.length === 0) return nothingDone
  let sum = nothingDone
  let lines: string[] = []
  let chars = 0
  for await (const line of from.entries(refs.map(refOf))) {
    lines.push(line)
    chars += line.length
    if (chars < requestChars) continue
    sum = add(sum, await send(to, lines, from))
    lines = []
    chars = 0
  }
  return lines.length === 0 ? sum : add(sum, await send(to, lines, from))
}

/**
 * Removes members from both sides: the tombstone is also for the side that has nothing, where an older version may arrive
 * later. Its stamp is the next after that of the version, so whatever was written after it wins.
 */
async function remove(a: ComparedNode, b: ComparedNode, found: readonly Difference[]): Promise<Done> {
  if (found.length === 0) return nothingDone
  const lines = found.flatMap((one) => {
    const state = one[sideOf(one)]
    return state.type === 'none' ? [] : [removalLine(one, { node: state.node, clock: state.clock + 1 })]
  })
  const [onA, onB] = [await send(a, lines, b), await send(b, lines, a)]
  return {
    done: Math.max(onA.done, onB.done),
    refused: onA.refused + onB.refused,
    detail: onA.detail ?? onB.detail,
  }
}

function sideOf({ settlement }: Difference): Side {
  return settlement.kind === 'copy' ? settlement.from : settlement.on
}

async function send(to: ComparedNode, lines: readonly string[], from: ComparedNode): Promise<Done> {
  const { applied, refused, detail } = await to.apply(lines, await from.nodeId())
  return { done: applied, refused, detail: detail === null ? null : `${to.name}: ${detail}` }
}

const nothingDone: Done = { done: 0, refused: 0, detail: null }

function add(one: Done, other: Done): Done {
  return {
    done: one.done + other.done,
    refused: one.refused + other.refused,
    detail: one.detail ?? other.detail,
  }
}

function refOf({ collection, key }: MemberRef): MemberRef {
  return { collection, key }
}
