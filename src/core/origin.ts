import { requireSaneStamp } from './clock.ts'
import { KvistError } from './errors.ts'
import { maxTimeMs } from './limits.ts'

/**
 * Which node wrote a version, and when by its hybrid clock (clock.ts). Origins order the writes to a member in the same
 * way on all nodes, whatever order the writes arrive in.
 */
export interface Origin {
  readonly clock: number
  /** The id of the node; `''` is the engine's own node in everything that an engine returns. */
  readonly node: string
}

/** The origin of the latest change of a member. */
export interface StoredOrigin extends Origin {
  readonly revision: number
  readonly isTombstone: boolean
}

/** A version, or the tombstone that a node leaves of it, as nodes compare them. */
export interface ComparedVersion extends Origin {
  /** When it expires; null for never, and undefined for a tombstone. */
  readonly expiresAtMs: number | null | undefined
}

/** What a write from another node does to the stored version: it replaces it, gives it a later expiry, or nothing. */
export type Effect = 'replace' | 'renew' | 'none'

/**
 * Returns the effect of a write on the stored version. The larger stamp wins, and of equal stamps the larger node id.
 *
 * With the same origin both are one version, and only the node's knowledge of its expiry differs. Each node removes an
 * expired version by itself, and its tombstone has the origin of that version, so any later write wins over it. Of two
 * expiries the later one holds, because a renewal keeps the origin only if it extends the life (`renewedOrigin`). So a
 * tombstone does not remove a version that lives on by this node's clock, and such a version replaces its tombstone.
 */
export function effectOf(write: ComparedVersion, stored: ComparedVersion, nowMs: number): Effect {
  if (write.clock !== stored.clock) return write.clock > stored.clock ? 'replace' : 'none'
  if (write.node !== stored.node) return write.node > stored.node ? 'replace' : 'none'
  if (write.expiresAtMs === undefined) {
    return stored.expiresAtMs === undefined || lives(stored.expiresAtMs, nowMs) ? 'none' : 'replace'
  }
  if (stored.expiresAtMs === undefined) return lives(write.expiresAtMs, nowMs) ? 'replace' : 'none'
  return isLater(write.expiresAtMs, stored.expiresAtMs) ? 'renew' : 'none'
}

function lives(expiresAtMs: number | null, nowMs: number): boolean {
  return expiresAtMs === null || expiresAtMs > nowMs
}

function isLater(expiresAtMs: number | null, than: number | null): boolean {
  return than !== null && (expiresAtMs === null || expiresAtMs > than)
}

/**
 * Returns the origin of a version after a renewal on this node (`''`). A version keeps its origin while its life is
 * extended. An earlier expiry makes it a new version, or other nodes would keep the later one; its stamp is the next
 * after that of the version, so a value that another node wrote meanwhile wins over it.
 */
export function renewedOrigin(
  { clock, node, expiresAtMs }: Origin & { readonly expiresAtMs: number | null },
  renewedMs: number | null,
): Origin {
  return isLater(expiresAtMs, renewedMs) ? { clock: clock + 1, node: '' } : { clock, node }
}

/** Returns the origin as other nodes know it: with this node's id instead of `''`. */
export function withNodeId<O extends Origin>(origin: O, nodeId: string): O {
  return origin.node === '' ? { ...origin, node: nodeId } : origin
}

/** Node ids have no `l` and no `o`, so this is the beginning of none. */
const unmirroredPrefix = 'local'

/** Returns the node of writes that a node takes from other systems and does not send on (unmirrored.ts). */
export function unmirroredNode(nodeId: string): string {
  return unmirroredPrefix + nodeId
}

/** Whether versions of a node are not sent on. */
export function isUnmirrored(node: string): boolean {
  return node.startsWith(unmirroredPrefix)
}

const alphabet = 'abcdefghjkmnpqrstuvwxyz0123456789'
export const nodeIdLength = 12

/** Returns a random name of lower-case letters and digits, without those that are easily mistaken for others. */
export function randomName(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length))
  return Array.from(bytes, (byte) => alphabet[byte % alphabet.length]).join('')
}

export const maxNodeIdBytes = 64
const nodeIdPattern = new RegExp(`^[a-z0-9]{1,${maxNodeIdBytes}}$`)

export function isNodeId(given: string): boolean {
  return nodeIdPattern.test(given)
}

/**
 * Throws `unprocessable` if the origin of another node's write is not valid: its stamp, its node id or its creation
 * time.
 */
export function requireSaneOrigin(
  origin: Origin & { readonly createdAtMs?: number },
  nowMs: number,
  maxAheadMs: number,
): void {
  const { clock, node, createdAtMs = 0 } = origin
  requireSaneStamp(clock, nowMs, maxAheadMs)
  if (!nodeIdPattern.test(node))
    throw new KvistError('unprocessable', 'the node of the origin is not the id of one')
  if (!Number.isSafeInteger(createdAtMs) || createdAtMs < 0 || createdAtMs > maxTimeMs) {
    throw new KvistError('unprocessable', 'the creation time of the origin is not one')
  }
}
