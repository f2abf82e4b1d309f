import { type Kvist, KvistHttpError } from '../../sdk/client.ts'
import type { DemoteResult } from '../../sdk/node-types.ts'
import type { Database } from '../core/database.ts'
import { KvistError } from '../core/errors.ts'
import type { Leadership } from '../core/leadership.ts'
import type { Log } from '../telemetry/log.ts'
import type { FollowerState } from './follow.ts'
import type { Following } from './following.ts'
import type { PeerStatus } from './peer.ts'
import { type LeaderRole, leaderOf, loadRole, type Role, saveRole } from './role.ts'

/** Makes a node the leader or a follower, and changes that while it runs: promotion and demotion. */
export interface NodeLeadership extends Leadership {
  status(): LeadershipStatus
  /** The ids of the nodes that this one follows, the nearest first. */
  leaders(): readonly string[]
  /** Why clients should go to another server; null if this one serves. */
  unreadiness(): string | null
  promote(asked: { readonly url: string | null; readonly force: boolean }): Promise<Promotion>
  demote(asked: DemoteRequest): Promise<{ readonly role: Role['role']; readonly term: number }>
  stop(): Promise<void>
}

export interface LeadershipStatus {
  readonly role: Role['role']
  readonly term: number
  /** Of a follower. */
  readonly following: FollowerState | null
  /** What a follower has sent to its leader: renewals, and what it wrote when it was a leader itself. */
  readonly sending: PeerStatus | null
  /** Of a demoted node: the URL of the leader. */
  readonly leader: string | null
}

export interface DemoteRequest {
  /** The id of the node that was promoted. */
  readonly node: string
  readonly url: string | null
  readonly term: number
  /** The id of the node that is meant; null for whichever responds. */
  readonly of: string | null
}

export interface Promotion {
  readonly term: number
  /** The state of the follower when it was promoted; null if it was none. */
  readonly before: FollowerState | null
  /** Whether the former leader was demoted, and why not. */
  readonly former: {
    readonly url: string
    readonly isDemoted: boolean
    readonly failure: string | null
  } | null
}

export interface LeadershipOptions {
  readonly db: Database
  readonly follow: string | null
  readonly startFollowing: (url: string) => Promise<Following>
  readonly kvistOf: (url: string) => Pick<Kvist, 'nodes'>
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly onError: (error: unknown) => void
}

const demoteTimeoutMs = 5000
const drainTimeoutMs = 30_000
const notifyEveryMs = 1000

export async function startLeadership(options: LeadershipOptions): Promise<NodeLeadership> {
  const run = new LeadershipRun(options, await loadRole(options.db, options.follow))
  await run.begin()
  return run
}

class LeadershipRun implements NodeLeadership {
  private readonly options: LeadershipOptions
  private readonly stopping = new AbortController()
  private role: Role
  private following: Following | null = null
  private isChanging = false
  private notifying: Promise<void> = Promise.resolve()

  constructor(options: LeadershipOptions, role: Role) {
    this.options = options
    this.role = role
  }

  async begin(): Promise<void> {
    const { role } = this
    const { log, startFollowing } = this.options
    if (role.role === 'follower') {
      this.following = await startFollowing(role.leader)
      log.info('this node follows another, which takes the writes', { leader: role.leader })
    }
    if (role.role === 'leader') this.notifyFormer()
    if (role.role !== 'demoted') return
    log.warn(
      'another node was promoted in place of this one, which takes no writes: start it with --follow',
      {
        leader: role.leader ?? role.node,
      },
    )
  }

  leader(): ReturnType<Leadership['leader']> {
    const { role } = this
    return role.role === 'leader' ? null : leaderOf(role, this.following?.follower.isCircular() ?? false)
  }

  leaders(): readonly string[] {
    // A node that was to be promoted and failed must not send clients in a circle.
    if (this.role.role === 'demoted') return [this.role.node]
    return this.following?.follower.leaders() ?? []
  }

  status(): LeadershipStatus {
    const { role, following } = this
    return {
      role: role.role,
      term: role.term,
      following: following?.follower.status() ?? null,
      sending: following?.sending() ?? null,
      leader: role.role === 'demoted' ? role.leader : null,
    }
  }

  unreadiness(): string | null {
    if (this.role.role === 'demoted') return leaderOf(this.role, false)!.why
    if (this.following === null || this.following.follower.isFilled()) return null
    return 'this node has not had everything that its leader has'
  }

  async promote({
    url,
    force,
  }: {
    readonly url: string | null
    readonly force: boolean
  }): Promise<Promotion> {
    return this.changing(async () => {
      const { role } = this
      if (role.role === 'leader') return { term: role.term, before: null, former: null }
      const before = this.following?.follower.status() ?? null
      if (!force) this.requireComplete()
      const term = Math.max(role.term, before?.term ?? 0) + 1
      const formerNode = role.role === 'demoted' ? role.node : (before?.node ?? null)
      const request = { node: this.options.db.nodeId, url, term, of: formerNode }
      const failure =
        role.leader === null ? 'its URL is not known' : await this.requestDemotion(role.leader, request)
      if (failure !== null && !force) throw stillLeading(role.leader, failure)
      await this.stopFollowing(failure === null)
      await this.become({
        role: 'leader',
        term,
        formerLeader: role.leader,
        formerNode,
        ownUrl: url,
        isFormerDemoted: failure === null || role.leader === null,
      })
      this.notifyFormer()
      const former = role.leader === null ? null : { url: role.leader, isDemoted: failure === null, failure }
      this.options.log.info('this node is the leader now', { term, former_leader: role.leader })
      return { term, before, former }
    })
  }

  async demote({ node, url, term, of }: DemoteRequest) {
    return this.changing(async () => {
      const { db, log } = this.options
      const { role } = this
      // An address that was moved to the new leader: there is no other node.
      if (node === db.nodeId) return { role: role.role, term: role.term }
      if (of !== null && of !== db.nodeId)
        throw new KvistError('conflict', `this is the node ${db.nodeId}, not ${of}`, { node: db.nodeId })
      if (role.role === 'follower') return { role: role.role, term: role.term }
      if (term <= role.term) {
        const detail = `this node knows of a later promotion: its term is ${role.term}, not before ${term}`
        throw new KvistError('conflict', detail, { term: role.term })
      }
      await this.become({ role: 'demoted', term, leader: url, node })
      log.warn('another node was promoted: this one takes no writes any more. Start it with --follow', {
        leader: url ?? node,
      })
      return { role: 'demoted' as const, term }
    })
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await Promise.all([this.following?.follower.stop(), this.following?.stopSending(), this.notifying])
  }

  /** Only one change of the role at a time: two could both succeed in part. */
  private async changing<Result>(change: () => Promise<Result>): Promise<Result> {
    if (this.isChanging) throw new KvistError('busy', 'the role of this node is being changed')
    this.isChanging = true
    try {
      return await change()
    } finally {
      this.isChanging = false
    }
  }

  /** Once it resolves the role is on disk, and so is every write that was accepted before. */
  private async become(role: Role): Promise<void> {
    const before = this.role
    this.role = role
    try {
      await saveRole(this.options.db, role)
    } catch (error) {
      this.role = before
      throw error
    }
  }

  private requireComplete(): void {
    const { role, following } = this
    if (role.role === 'demoted') {
      throw new KvistError(
        'conflict',
        'this node was demoted and has not followed since: start it with --follow first, or force it',
      )
    }
    if (following?.follower.isFilled() !== true)
      throw new KvistError('conflict', 'this node has not had everything that its leader has')
  }

  /** Demotes a node; returns why that failed, null if it did not. */
  private async requestDemotion(url: string, request: DemoteRequest): Promise<string | null> {
    try {
      const { role } = await this.demoted(url, request)
      return role === 'follower' ? 'it follows another node, which goes on taking writes' : null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  private demoted(url: string, request: DemoteRequest): Promise<DemoteResult> {
    return this.options.kvistOf(url).nodes.demote(request, { timeoutMs: demoteTimeoutMs, retries: 0 })
  }

  /** Ends following; reads first what a leader that was demoted still has. */
  private async stopFollowing(drains: boolean): Promise<void> {
    const { following, role } = this
    if (following === null || role.role !== 'follower') return
    await following.stopSending()
    try {
      if (drains) await following.follower.drain(drainTimeoutMs)
      else await following.follower.stop()
      this.following = null
    } catch (error) {
      this.following = await this.options.startFollowing(role.leader)
      const why = error instanceof Error ? error.message : String(error)
      throw new KvistError(
        'conflict',
        `the leader was demoted, and then did not send all that it has: ${why}`,
      )
    }
  }

  /** Goes on notifying a former leader that could not be reached, so that it is no second leader when it is back. */
  private notifyFormer(): void {
    const { role } = this
    if (role.role !== 'leader' || role.formerLeader === null || role.isFormerDemoted) return
    this.notifying = this.notifyUntilDone(role, role.formerLeader).catch(this.options.onError)
  }

  private async notifyUntilDone(role: LeaderRole, former: string): Promise<void> {
    const { db, log, sleep } = this.options
    const { signal } = this.stopping
    const { term, formerNode, ownUrl: url } = role
    while (!signal.aborted && this.role === role) {
      try {
        await this.demoted(former, { node: db.nodeId, url, term, of: formerNode })
        log.info('the former leader is back, and knows that it is no leader any more', {
          former_leader: former,
        })
        if (this.role === role) await this.become({ ...role, isFormerDemoted: true })
        return
      } catch (error) {
        if (error instanceof KvistHttpError && error.code === 'conflict')
          return this.giveWay(role, former, error)
      }
      await sleep(notifyEveryMs, signal)
    }
  }

  /** The former leader refuses: it is another node by now, or was promoted again after this one. */
  private async giveWay(role: LeaderRole, former: string, error: KvistHttpError): Promise<void> {
    const term = error.problem?.term
    const isLater = typeof term === 'number' && term > role.term
    this.options.log.warn('the former leader does not give way', {
      former_leader: former,
      detail: error.detail,
    })
    if (!isLater || this.role !== role) return
    await this.become({ role: 'demoted', term, leader: former, node: role.formerNode ?? former })
  }
}

function stillLeading(url: string | null, failure: string): KvistError {
  return new KvistError(
    'conflict',
    `${url ?? 'the leader'} may still take writes, because it could not be demoted (${failure}): stop it, then force the promotion`,
  )
}
