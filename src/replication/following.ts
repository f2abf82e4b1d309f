import type { Kvist } from '../../sdk/client.ts'
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
