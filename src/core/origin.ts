import { requireSaneStamp } from './clock.ts'
import { KvistError } from './errors.ts'
import { maxTimeMs } from './limits.ts'

/**
 * Where and when something was written: the hybrid clock's stamp (clock.ts) and the node. Origins put the writes to a
 * member in one order that all nodes agree on, whatever order the writes reach them in.
 */
export interface Origin {
  readonly clock: number
  /** In what an engine returns, `''` is the engine's own node. */
  readonly node: string
}

/** The origin of the latest change of a member. */
export interface StoredOrigin extends Origin {
  readonly isTombstone: boolean
}

/**
 * Whether a write wins over what is stored: the larger stamp, of equal ones the larger node id. Of one origin the
 * tombstone wins over the version: it is that version's expiry.
 */
export function supersedes(write: StoredOrigin, stored: StoredOrigin): boolean {
  if (write.clock !== stored.clock) return write.clock > stored.clock
  if (write.node !== stored.node) return write.node > stored.node
  return write.isTombstone && !stored.isTombstone
}

/** The origin as other nodes know it: with the id of the own node in place of `''`. */
export function withNodeId<O extends Origin>(origin: O, nodeId: string): O {
  return origin.node === '' ? { ...origin, node: nodeId } : origin
}

const alphabet = 'abcdefghjkmnpqrstuvwxyz0123456789'
export const nodeIdLength = 12

/** A random name of letters and digits that are not mistaken for each other. */
export function randomName(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length))
  return Array.from(bytes, (byte) => alphabet[byte % alphabet.length]).join('')
}

const nodeIdPattern = /^[a-z0-9]{1,64}$/

/** Throws `unprocessable` for the origin of a write from elsewhere that cannot be right. */
export function requireSaneOrigin(origin: Origin & { readonly createdAtMs?: number }, nowMs: number): void {
  const { clock, node, createdAtMs = 0 } = origin
  requireSaneStamp(clock, nowMs)
  if (!nodeIdPattern.test(node))
    throw new KvistError('unprocessable', 'the node of the origin is not the id of one')
  if (!Number.isSafeInteger(createdAtMs) || createdAtMs < 0 || createdAtMs > maxTimeMs) {
    throw new KvistError('unprocessable', 'the creation time of the origin is not one')
  }
}
