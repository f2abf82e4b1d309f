import { msToStamp } from './clock.ts'
import type { Content, Stored } from './content.ts'
import type { Delete, Engine, MemberRef, Put, Write, Written } from './engine.ts'
import { KvistError } from './errors.ts'
import { isExpired } from './member.ts'
import { type Origin, unmirroredNode } from './origin.ts'
import { quotaExceeded } from './quota.ts'

/**
 * Writes that mirrors and bridges do not send on: what another system mirrors to this node. Their origin is a node that stands
 * for all such systems (`unmirroredNode`), so they are told from this node's own writes for as long as they are stored.
 */
export interface Unmirrored {
  /** Stores a member as it is. */
  putUnmirrored(ref: MemberRef, content: Content): Promise<Stored>
  /** Returns the revision of the delete; 0 when there was no member. */
  deleteUnmirrored(ref: MemberRef): Promise<number>
}

export interface UnmirroredOptions {
  readonly engine: Pick<Engine, 'nodeId' | 'readHead' | 'tombstone'>
  /** Commits a write within the quotas. */
  readonly commit: (writes: readonly Write[]) => Promise<readonly Written[]>
  readonly now: () => number
}

/** The tries of one write. Each failed try means that another write came in between. */
const maxTries = 1000

export function unmirroredWrites({ engine, commit, now }: UnmirroredOptions): Unmirrored {
  const node = unmirroredNode(engine.nodeId)
  let lastClock = 0

  /** Returns an origin that is newer than what is stored, and than all before it. */
  async function nextOrigin({ collection, key }: MemberRef) {
    const nowMs = now()
    const head = await engine.readHead(collection, key)
    const stored = head ?? (await engine.tombstone(collection, key))
    lastClock = Math.max(msToStamp(nowMs), lastClock + 1, (stored?.clock ?? 0) + 1)
    const isLive = head !== null && !isExpired(head, nowMs)
    return { origin: { node, clock: lastClock }, createdAtMs: isLive ? head.createdAtMs : nowMs, isLive }
  }

  async function write(
    ref: MemberRef,
    writeOf: (next: { origin: Origin; createdAtMs: number; isLive: boolean }) => Put | Delete | null,
  ): Promise<Written | null> {
    for (let tries = 0; tries < maxTries; tries++) {
      const one = writeOf(await nextOrigin(ref))
      if (one === null) return null
      const [written] = await commit([one])
      if (written!.exceeded !== undefined) throw quotaExceeded(written!.exceeded)
      if (written!.superseded !== true) return written!
    }
    throw new KvistError('conflict', `${ref.key} changed too often to be written`)
  }

  return {
    async putUnmirrored({ collection, key }, content) {
      const written = await write({ collection, key }, ({ origin, createdAtMs }) => ({
        ...{ op: 'put', collection, key, ...content },
        origin: { ...origin, createdAtMs },
      }))
      const { revision, createdAtMs, clock, existed } = written!
      return { revision, createdAtMs, clock, existed, expiresAtMs: content.expiresAtMs }
    },
    async deleteUnmirrored({ collection, key }) {
      const written = await write({ collection, key }, ({ origin, isLive }) =>
        isLive ? { op: 'delete', collection, key, cause: 'delete', origin } : null,
      )
      return written === null || !written.existed ? 0 : written.revision
    },
  }
}
