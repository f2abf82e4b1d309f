import type { Database } from '../core/database.ts'
import type { VersionRef } from '../core/engine.ts'
import { type Conflicts, conflictCounter } from './conflicts.ts'
import type { Knowledge } from './knowledge.ts'
import { type Peer, type PeerOptions, type PeerStatus, startPeer, type Target } from './peer.ts'

/** Sends the changes of this store to all of its targets, and follows what comes from other nodes. */
export interface Mirror {
  readonly conflicts: Conflicts
  status(): readonly PeerStatus[]
  stop(): Promise<void>
}

export interface MirrorOptions extends Omit<PeerOptions, 'target'> {
  readonly db: Database
  readonly targets: readonly Target[]
  /** Whether a follower has had a version. */
  readonly hasFollower?: (node: string, version: VersionRef) => boolean
  /** What this node knows of others; missing if it keeps nothing of that. */
  readonly knowledge?: Knowledge
}

export function startMirror(options: MirrorOptions): Mirror {
  const { targets, log, now, knowledge, hasFollower = () => false } = options
  const peers: readonly Peer[] = targets.map((target) => startPeer({ ...options, target }))
  const hasSent = (node: string, version: VersionRef) =>
    peers.some((peer) => peer.hasSent(node, version)) || hasFollower(node, version)
  return {
    conflicts: conflictCounter({ hasSent, log, now, ...(knowledge === undefined ? {} : { knowledge }) }),
    status: () => peers.map((peer) => peer.status()),
    async stop() {
      await Promise.all(peers.map((peer) => peer.stop()))
      await knowledge?.save()
    },
  }
}

/** Waits some time, or until the signal aborts. */
export function realSleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}
