import type { Database } from '../core/database.ts'
import type { Leadership } from '../core/leadership.ts'
import { jsonContentType } from '../core/member.ts'

/**
 * Which part a node plays among a leader and its followers, kept in the store, so that a restart with the same command
 * line does not undo a promotion. Each promotion has a term, larger than those before it that the node knows of; a node
 * gives way to a larger term. This is no consensus: a leader that nobody reaches goes on taking writes until it is
 * reached, and they are merged when it follows.
 */
export type Role = LeaderRole | FollowerRole | DemotedRole

export interface LeaderRole {
  readonly role: 'leader'
  readonly term: number
  /** The URL of the leader that this node followed; null if it has always been a leader. */
  readonly formerLeader: string | null
  /** The id of its node, where that is known. */
  readonly formerNode: string | null
  /** The URL of this node as clients reach it, for the former leader; null where it was not said. */
  readonly ownUrl: string | null
  /** It knows that it is no leader any more, or is not to be told. */
  readonly isFormerDemoted: boolean
}

interface FollowerRole {
  readonly role: 'follower'
  readonly term: number
  readonly leader: string
}

/** Another node was promoted in place of this one. */
interface DemotedRole {
  readonly role: 'demoted'
  readonly term: number
  /** The URL of the new leader as clients reach it; null where it was not said. */
  readonly leader: string | null
  readonly node: string
}

const roleCollection = '_role'
const roleKey = 'self'

export async function loadRole(db: Pick<Database, 'get'>, follow: string | null): Promise<Role> {
  const member = await db.get(roleCollection, roleKey)
  return roleAtStart(member === null ? null : (JSON.parse(String(member.value)) as Role), follow)
}

/** Returns the role of a node that is started, by what it was and the URL of `--follow`. */
export function roleAtStart(stored: Role | null, follow: string | null): Role {
  const term = stored?.term ?? 0
  if (follow === null) {
    // Without `--follow`, a node that followed is a leader, as the operator says; a demoted one is not.
    if (stored !== null && stored.role !== 'follower') return stored
    return { role: 'leader', term, formerLeader: null, formerNode: null, ownUrl: null, isFormerDemoted: true }
  }
  if (stored?.role === 'leader' && stored.formerLeader === follow) return stored
  return { role: 'follower', term, leader: follow }
}

/** Resolves once the role is on disk. */
export async function saveRole(db: Pick<Database, 'write'>, role: Role): Promise<void> {
  const put = { collection: roleCollection, key: roleKey, value: JSON.stringify(role) }
  await db.write([{ op: 'put', ...put, contentType: jsonContentType, flags: 0, expiresAtMs: null }], 'full')
}

/** Returns what clients are told of a node of a role. `isCircular`: its leader follows it in turn. */
export function leaderOf(role: Role, isCircular: boolean): ReturnType<Leadership['leader']> {
  if (role.role === 'leader') return null
  if (role.role === 'demoted') {
    const where = role.leader === null ? `node ${role.node}` : role.leader
    return { url: role.leader, why: `another node was promoted in place of this one: ${where} takes writes` }
  }
  if (isCircular)
    return { url: null, why: `this node and ${role.leader} follow each other: no node takes writes` }
  return { url: role.leader, why: `this node follows ${role.leader}, which takes writes` }
}
