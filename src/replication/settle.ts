import type { MemberState } from '../core/comparison.ts'
import { type ComparedVersion, effectOf } from '../core/origin.ts'

/** Decides what two nodes must do to have the same of a member. */

export type Side = 'a' | 'b'

/**
 * - `same`: nothing.
 * - `copy`: the other side takes what this one has, a member or a tombstone.
 * - `undecided`: a member is on one side only, and the other may have deleted it and forgotten the tombstone since.
 */
export type Settlement =
  | { readonly kind: 'same' }
  | { readonly kind: 'copy'; readonly from: Side }
  | { readonly kind: 'undecided'; readonly on: Side }

/** What a side has of a member, and up to which stamp it has forgotten tombstones. */
export interface SideState {
  readonly state: MemberState
  readonly forgottenClock: number
}

const same: Settlement = { kind: 'same' }

/**
 * Returns what is to be done. Between versions and tombstones the rule is that of every node (`effectOf`).
 *
 * A member that the other side has nothing of is copied if its stamp is larger than all that the other has forgotten: had
 * the other ever had this version, then whatever removed it would have left a tombstone with a stamp larger still, which is
 * not forgotten (`Engine.forgottenClock`). Otherwise the other side may have deleted it, and copying would bring it back.
 */
export function settle(a: SideState, b: SideState, nowMs: number): Settlement {
  if (a.state.type !== 'put' && b.state.type !== 'put') return same
  if (a.state.type === 'none') return settleMissing('b', b.state, a.forgottenClock)
  if (b.state.type === 'none') return settleMissing('a', a.state, b.forgottenClock)
  const [ofA, ofB] = [comparedVersion(a.state), comparedVersion(b.state)]
  if (effectOf(ofA, ofB, nowMs) !== 'none') return { kind: 'copy', from: 'a' }
  if (effectOf(ofB, ofA, nowMs) !== 'none') return { kind: 'copy', from: 'b' }
  return same
}

type Present = Exclude<MemberState, { type: 'none' }>

function settleMissing(on: Side, state: MemberState, forgottenClock: number): Settlement {
  if (state.type === 'none') return same
  return state.clock > forgottenClock ? { kind: 'copy', from: on } : { kind: 'undecided', on }
}

function comparedVersion(state: Present): ComparedVersion {
  const { clock, node } = state
  return { clock, node, expiresAtMs: state.type === 'put' ? state.expiresAtMs : undefined }
}
