import type { Commit, Delete, Engine, Put, Renew, Write, Written } from '../../src/core/engine.ts'
import type { Change, Member, RemovalCause, Value } from '../../src/core/member.ts'
import { stepLimit } from './steps.ts'

/** Writes and reads in short, for tests and for the programs that they start. */

export const collection = 'things'
export const noonMs = Date.UTC(2026, 5, 1, 12)

export function put(key: string, value: Value = '1', expiresAtMs: number | null = null): Put {
  const contentType = typeof value === 'string' ? 'application/json' : 'application/octet-stream'
  return { op: 'put', collection, key, value, contentType, flags: 0, expiresAtMs }
}

export function remove(key: string, cause: RemovalCause = 'delete'): Delete {
  return { op: 'delete', collection, key, cause }
}

export async function write(
  engine: Engine,
  writes: readonly (Write | Renew)[],
  options: Partial<Commit> = {},
): Promise<readonly Written[]> {
  const result = await engine.commit({ checks: [], writes, nowMs: noonMs, ...options })
  if (!result.ok) throw new Error(`the commit was not done: ${JSON.stringify(result)}`)
  return result.written
}

/** All members, in key order. */
export async function allMembers(engine: Engine): Promise<Member[]> {
  const members: Member[] = []
  let from: string | null = null
  const step = stepLimit('scanning all members')
  do {
    step()
    const page = await engine.scan({ collection, from, to: null, order: 'asc', limit: 1000, keysOnly: false })
    members.push(...page.members)
    from = page.next
  } while (from !== null)
  return members
}

/** All values, by key. */
export async function valuesOf(engine: Engine): Promise<Record<string, Value>> {
  const members = await allMembers(engine)
  return Object.fromEntries(members.map(({ key, value }) => [key, value]))
}

export async function feedOf(engine: Engine, after = ''): Promise<Change[]> {
  const changes: Change[] = []
  const step = stepLimit('reading the feed')
  for (let point = after; ; step()) {
    const page = await engine.changes(point, 100)
    changes.push(...page.changes)
    if (page.atEnd) return changes
    point = page.next
  }
}
