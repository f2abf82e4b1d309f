import type { Kvist } from '../../sdk/client.ts'
import { stampToMs } from '../core/clock.ts'
import type { SentChange } from '../core/entry-lines.ts'
import { isOwnCollection } from '../core/keys.ts'
import { type Change, keyOf } from '../core/member.ts'
import { formatTime } from '../core/time.ts'
import { type Follow, type FollowOptions, startFollowing } from './follow.ts'
import { httpTarget } from './http-target.ts'
import { type Peer, type PeerOptions, type PeerStatus, startPeer } from './peer.ts'

/**
 * A node that follows, in both directions: it reads the changes of its leader, and sends it what the leader lacks. That is
 * little: renewals by reads, and on a former leader the writes that no other node has had. It is sent once this node has
 * what the leader has, so that versions which the leader knowingly replaced are gone before.
 */
export interface Following {
  readonly follower: Follow
  /** Null until this node has had everything. */
  sending(): PeerStatus | null
  stopSending(): Promise<void>
}

export interface FollowingOptions
  extends Omit<PeerOptions, 'target' | 'rules'>,
    Omit<FollowOptions, 'leader'> {
  readonly leader: Kvist
  readonly tokensCollection: string
}

export async function follow(options: FollowingOptions): Promise<Following> {
  const { leader, db, log, tokensCollection, onError } = options
  const follower = await startFollowing(options)
  let peer: Peer | null = null
  let isStopped = false

  async function sendWhenCurrent(): Promise<void> {
    await follower.wasCurrent
    if (isStopped) return
    peer = startPeer({
      ...options,
      target: httpTarget(leader, db.nodeId),
      rules: { only: [], tokensCollection, isBridge: true, isCopy: true },
      filter: withoutForgotten(options),
      onFilled({ applied }) {
        if (applied > 0)
          log.warn('this node had changes that its leader lacked: they were sent', {
            leader: leader.url,
            changes: applied,
          })
      },
    })
  }
  sendWhenCurrent().catch(onError)
  return {
    follower,
    sending: () => peer?.status() ?? null,
    async stopSending() {
      isStopped = true
      await peer?.stop()
    },
  }
}

/** No store forgets a tombstone earlier; see `--keep-tombstones`. */
const leastKeptMs = 60_000

/**
 * Returns a filter that keeps back old members which the leader has nothing of: it may have deleted them, and have
 * forgotten the tombstones since. They would come back to life, and `kvist nodes compare` shows them.
 */
export function withoutForgotten({
  leader,
  log,
  now,
}: Pick<FollowingOptions, 'log' | 'now'> & { readonly leader: Pick<Kvist, 'url' | 'nodes'> }) {
  return async (entries: readonly SentChange[]): Promise<readonly SentChange[]> => {
    const nowMs = now()
    const old = entries.filter(({ change }) => isOld(change, nowMs))
    if (old.length === 0) return entries
    const refs = old.map(({ change }) => ({ collection: change.collection, key: keyOf(change) }))
    const options = { timeoutMs: statesTimeoutMs, retries: 0 }
    const asked = await leader.nodes.comparison.states(refs, formatTime(nowMs), options)
    const kept = new Set(
      old.filter(({ change }, i) => {
        const clock = change.type === 'put' ? change.member.clock : 0
        return asked.states[i]?.type === 'none' && clock <= asked.forgotten_clock
      }),
    )
    const [first] = kept
    if (first === undefined) return entries
    log.warn('the other server may have deleted members, and have forgotten that: they are not sent', {
      server: leader.url,
      members: kept.size,
      first: `${first.change.collection}/${keyOf(first.change)}`,
    })
    return entries.filter((entry) => !kept.has(entry))
  }
}

const statesTimeoutMs = 30_000

function isOld(change: Change, nowMs: number): boolean {
  return (
    change.type === 'put' &&
    !isOwnCollection(change.collection) &&
    stampToMs(change.member.clock) <= nowMs - leastKeptMs
  )
}
