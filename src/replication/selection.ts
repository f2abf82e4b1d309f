import { sharedTokens } from '../core/comparison.ts'
import type { Database } from '../core/database.ts'
import type { SentChange } from '../core/entry-lines.ts'
import { isOwnCollection } from '../core/keys.ts'
import { type Change, keyOf } from '../core/member.ts'
import { isUnmirrored } from '../core/origin.ts'
import { compilePattern, type Pattern } from '../core/pattern.ts'
import { renewalOf, renewalsCollection } from '../core/renewal-records.ts'
import { settingsCollection } from '../core/settings.ts'

/** Which changes of the feed a target gets. */

export interface SelectionRules {
  /** The collections that are mirrored; empty for all. */
  readonly only: readonly Pattern[]
  /** The collection of tokens, if they are mirrored too. */
  readonly tokensCollection: string | null
  /** Changes of other nodes are passed on. */
  readonly isBridge: boolean
  /** Whether the changes of a node are passed on even if this one is no bridge; missing for none. */
  readonly isBridged?: (node: string) => boolean
  /** The target is a copy of this node: it gets also what mirrors and bridges do not send on. */
  readonly isCopy?: true
}

export interface SelectionState {
  /** The target gets everything for the first time, whichever node wrote it. */
  readonly isFilling: boolean
  /** The id of the target's node; null while it is not known. */
  readonly targetNode: string | null
}

/** Returns the entries to send for some changes, in their order. */
export async function selectEntries(
  db: Pick<Database, 'changes'>,
  changes: readonly Change[],
  rules: SelectionRules,
  state: SelectionState,
): Promise<SentChange[]> {
  const entries: SentChange[] = []
  for (const change of changes) {
    const { collection } = change
    if (collection === renewalsCollection) {
      const renewed = await renewedEntry(db, change, rules, state)
      if (renewed !== null) entries.push(renewed)
    } else if (isMirrored(rules, collection, keyOf(change)) && isPassedOn(change, rules, state)) {
      entries.push({ change, isRenewal: false })
    }
  }
  return entries
}

/** Returns the member that a record of a renewal names, as it is now; null if it is gone or not for the target. */
async function renewedEntry(
  db: Pick<Database, 'changes'>,
  record: Change,
  rules: SelectionRules,
  { isFilling }: SelectionState,
): Promise<SentChange | null> {
  if (record.type !== 'put') return null
  const { collection, key, isForeign } = renewalOf(record.member)
  if (!isMirrored(rules, collection, key)) return null
  const scope = { collection, key, prefix: null, filter: null }
  const { events } = await db.changes(scope, '', 1)
  const change = events[0]?.change
  if (change?.type !== 'put' || isKeptHere(change.member, rules)) return null
  const isPassedOn =
    !isForeign || isFilling || rules.isBridge || rules.isBridged?.(change.member.node) === true
  return isPassedOn ? { change, isRenewal: true } : null
}

/** Returns whether a member is sent, by these rules, or with null whether any of a collection may be. */
function comparedBy(rules: Pick<SelectionRules, 'only' | 'tokensCollection'>) {
  return (collection: string, key: string | null): boolean =>
    (collection === settingsCollection && key === null) || isMirrored(rules, collection, key ?? '')
}

/** Returns what `comparedBy` does, for names of collections with wildcards; all for none. */
export function comparedRules(patterns: readonly string[], hasTokens: boolean) {
  const only = patterns.map((pattern) => compilePattern(pattern))
  return comparedBy({ only, tokensCollection: hasTokens ? sharedTokens : null })
}

function isMirrored(
  { only, tokensCollection }: Pick<SelectionRules, 'only' | 'tokensCollection'>,
  collection: string,
  key: string,
): boolean {
  if (collection === tokensCollection) return true
  if (isOwnCollection(collection) && collection !== settingsCollection) return false
  const name = collection === settingsCollection ? key : collection
  return only.length === 0 || only.some((pattern) => pattern.matches(name))
}

/** A change that the target itself wrote is there already, unless the target is filled again: then it may have lost it. */
function isPassedOn(
  change: Change,
  rules: SelectionRules,
  { isFilling, targetNode }: SelectionState,
): boolean {
  const version = change.type === 'put' ? change.member : change.tombstone
  const { node } = version
  if (node === '') return true
  if (isKeptHere(version, rules) || (node === targetNode && !isFilling)) return false
  return rules.isBridge || isFilling || rules.isBridged?.(node) === true
}

function isKeptHere({ node }: { readonly node: string }, { isCopy }: SelectionRules): boolean {
  return isCopy !== true && isUnmirrored(node)
}
