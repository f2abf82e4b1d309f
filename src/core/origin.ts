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
  readonly isTombstone: boolean
}

/**
 * Returns whether a write replaces the stored version: the larger stamp wins, and of equal stamps the larger node id.
 * Of two with the same origin the tombstone wins, because it is the expiry of that version.
 */
export function supersedes(write: StoredOrigin, stored: StoredOrigin): boolean {
  if (write.clock !== stored.clock) return write.clock > stored.clock
  if (write.node !== stored.node) return write.node > stored.node
  return write.isTombstone && !stored.isTombstone
}

/** Returns the origin as other nodes know it: with this node's id instead of `''`. */
export function withNodeId<O extends Origin>(origin: O, nodeId: string): O {
  return origin.node === '' ? { ...origin, node: nodeId } : origin
}

const alphabet = 'abcdefghjkmnpqrstuvwxyz0123456789'
export const nodeIdLength = 12

/** Returns a random name of lower-case letters and digits, without those that are easily mistaken for others. */
export function randomName(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length))
  return Array.from(bytes, (byte) => alphabet[byte % alphabet.length]).join('')
}

const nodeIdPattern = /^[a-z0-9]{1,64}$/

/**
 * Throws `unprocessable` if the origin of another node's write is not valid: its stamp, its node id or its creation
 * time.
 */
export function requireSaneOrigin(origin: Origin & { readonly createdAtMs?: number }, nowMs: number): void {
  const { clock, node, createdAtMs = 0 } = origin
  requireSaneStamp(clock, nowMs)
  if (!nodeIdPattern.test(node))
    throw new KvistError('unprocessable', 'the node of the origin is not the id of one')
  if (!Number.isSafeInteger(createdAtMs) || createdAtMs < 0 || createdAtMs > maxTimeMs) {
    throw new KvistError('unprocessable', 'the creation time of the origin is not one')
  }
}
