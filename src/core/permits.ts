import type { MemberRef } from './engine.ts'
import { KvistError } from './errors.ts'
import type { Capability, Grant } from './grants.ts'
import { compareKeys, isOwnCollection } from './keys.ts'
import { compilePattern } from './pattern.ts'

/** What somebody may do. */
export interface Permits {
  /** Everything is allowed; no check is needed. */
  readonly isEverything: boolean
  /**
   * Returns the key prefixes under which members of a collection are within reach, in their order and none within
   * another: `['']` for all members, `[]` for none. None of kvist's own collections is ever within reach.
   */
  reach(capability: Capability, collection: string): readonly string[]
  /** Whether there is a grant of this capability, on whatever. */
  somewhere(capability: Capability): boolean
  /** Whether this capability is granted on all members of all collections. */
  everywhere(capability: Capability): boolean
}

/** Somebody with a name and permits. */
export interface Viewer {
  /** Differs from those of all others. */
  readonly id: string
  /** As people know it; for messages. */
  readonly name: string
  readonly permits: Permits
}

const all: readonly string[] = ['']
const none: readonly string[] = []

export const everythingPermitted: Permits = {
  isEverything: true,
  reach: (_capability, collection) => (isOwnCollection(collection) ? none : all),
  somewhere: () => true,
  everywhere: () => true,
}

/** The collections whose reach is remembered, for each capability. */
const maxKnown = 1000

/** The reach of one capability by collection, as far as it is remembered. */
type Reach = Map<string, readonly string[]>

/** Returns what grants together allow. */
export function permitsOf(grants: readonly Grant[]): Permits {
  const compiled = grants.map((grant) => ({ ...grant, pattern: compilePattern(grant.collections) }))
  // A map for each capability: every request looks here, and a text made of both names would be hashed each time.
  const known: Record<Capability, Reach> = {
    read: new Map(),
    write: new Map(),
    admin: new Map(),
    replicate: new Map(),
  }
  const granted = new Set(grants.flatMap(({ can }) => can))

  function reach(capability: Capability, collection: string): readonly string[] {
    if (isOwnCollection(collection)) return none
    const reaches = known[capability]
    const before = reaches.get(collection)
    if (before !== undefined) return before
    const prefixes = compiled
      .filter(({ can, pattern }) => can.includes(capability) && pattern.matches(collection))
      .map(({ keyPrefix }) => keyPrefix)
    const outermost = withoutInner(prefixes)
    if (reaches.size >= maxKnown) reaches.clear()
    reaches.set(collection, outermost)
    return outermost
  }

  return {
    isEverything: false,
    reach,
    somewhere: (capability) => granted.has(capability),
    everywhere: (capability) =>
      grants.some(
        ({ can, collections, keyPrefix }) =>
          can.includes(capability) && /^\*+$/.test(collections) && keyPrefix === '',
      ),
  }
}

/** Returns the prefixes that are within no other one, each once, in the order of the keys. */
function withoutInner(prefixes: readonly string[]): readonly string[] {
  const outer: string[] = []
  for (const prefix of prefixes.toSorted(compareKeys)) {
    if (outer.every((one) => !prefix.startsWith(one))) outer.push(prefix)
  }
  return outer
}

/** Whether a key is within reach. */
export function isWithin(prefixes: readonly string[], key: string): boolean {
  for (let i = 0; i < prefixes.length; i++) if (key.startsWith(prefixes[i]!)) return true
  return false
}

/** Throws `forbidden` unless the viewer may do this to the member. */
export function requireMember({ name, permits }: Viewer, capability: Capability, ref: MemberRef): void {
  const { collection, key } = ref
  if (isWithin(permits.reach(capability, collection), key)) return
  throw forbidden(name, capability, `${collection}/${key}`, { collection, key })
}

/** Returns the reach of the viewer in a collection. Throws `forbidden` if it is none. */
export function requireReach(
  { name, permits }: Viewer,
  capability: Capability,
  collection: string,
): readonly string[] {
  const prefixes = permits.reach(capability, collection)
  if (prefixes.length > 0) return prefixes
  throw forbidden(name, capability, `collection ${collection}`, { collection })
}

/** Throws `forbidden` unless the viewer may do this to all members of a collection. */
export function requireCollection(viewer: Viewer, capability: Capability, collection: string): void {
  if (requireReach(viewer, capability, collection)[0] === '') return
  throw forbidden(viewer.name, capability, `all of collection ${collection}`, { collection })
}

/** Throws `forbidden` unless the viewer may do this somewhere. */
export function requireSomewhere({ name, permits }: Viewer, capability: Capability): void {
  if (!permits.somewhere(capability)) throw forbidden(name, capability, 'any collection', {})
}

/** Throws `forbidden` unless the viewer may do this everywhere. */
export function requireEverywhere({ name, permits }: Viewer, capability: Capability): void {
  if (!permits.everywhere(capability)) throw forbidden(name, capability, 'all collections', {})
}

/** Returns the error for something that no grant allows. It names what is missing. */
export function forbidden(
  name: string,
  capability: Capability,
  what: string,
  where: Readonly<Record<string, unknown>>,
): KvistError {
  return new KvistError(
    'forbidden',
    `the token of ${JSON.stringify(name)} does not grant ${capability} on ${what}`,
    {
      missing: { can: capability, ...where },
    },
  )
}
