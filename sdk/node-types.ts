import type { ImportFailure, Origin } from './types.ts'

/** What a server is to other nodes, and what they exchange. */

/** What a server is to other nodes. */
export interface NodesStatus {
  /** The id of the server's node. */
  readonly node: string
  /** Versions that were lost because two nodes wrote the same member at once, since the start. */
  readonly conflicts: number
  readonly targets: readonly TargetStatus[]
  /** `leader`: it takes writes, as every server that follows no other. `demoted`: another was promoted in its place. */
  readonly role: 'leader' | 'follower' | 'demoted' | 'cache'
  /** The number of the last promotion that it knows of. */
  readonly term: number
  /** Whom it follows; of a demoted server only `url`; null for a leader. */
  readonly leader: LeaderStatus | { readonly url: string } | null
  readonly followers: readonly FollowerStatus[]
  /** The server looks up on others what it does not hold. */
  readonly lookup?: boolean
  /** Of a cache node: the servers that it is a cache of. */
  readonly origins?: readonly OriginStatus[]
  /** Of a cache node: what it holds, and what it did since its start. */
  readonly cache?: Readonly<Record<string, number>>
}

/** How far a follower is, as it sees it. */
export interface LeaderStatus {
  readonly url: string
  /** `retrying`: the leader does not respond. `circular`: it follows this server in turn. */
  readonly state: 'filling' | 'receiving' | 'current' | 'retrying' | 'circular'
  /** The id of its node; null until it has responded. */
  readonly node: string | null
  /** When the follower last had everything that the leader had, as far as it knows; null for never. */
  readonly last_current_at: string | null
  /** Changes that were received since the start. */
  readonly received: number
  readonly failures: number
  /** The last failure; null for none. */
  readonly last_error: { readonly detail: string; readonly at: string } | null
  /** Changes of the follower that the leader lacked, and got from it since the start. */
  readonly merged?: number
}

/** A follower, as its leader sees it. */
export interface FollowerStatus {
  /** The id of its node. */
  readonly node: string
  /** It had everything when it asked last. */
  readonly is_current: boolean
  readonly last_seen_at: string
}

/** A page of what a follower reads. */
export interface ReplicaPage {
  /** Changes, one a line. */
  readonly lines: string
  /** The id of the leader's node. */
  readonly node: string
  readonly next: string
  readonly at_end: boolean
  readonly term: number
  /** The ids of the nodes that the leader follows itself. */
  readonly leaders: readonly string[]
  /** Which writes of other nodes have come to the leader. */
  readonly knows: string
}

/** What became of a promotion. */
export interface PromoteResult {
  /** The id of the node that is the leader now. */
  readonly node: string
  readonly term: number
  /** Null if there was none, or the server was a leader before. */
  readonly former_leader: {
    readonly url: string
    /** It takes no writes any more. */
    readonly is_demoted: boolean
    readonly failure: string | null
  } | null
  /** How far it was as a follower; null if it was none. */
  readonly before: LeaderStatus | null
}

export interface DemoteResult {
  /** The id of the node that was demoted. */
  readonly node: string
  readonly role: NodesStatus['role']
  readonly term: number
}

/** The state of an origin of a cache node. */
export interface OriginStatus {
  readonly url: string
  /**
   * `followed`: requests go there, and its changes are read. `passing`: they go there, but its changes cannot be read, so that
   * nothing is held. `idle`: they go to another origin. `down`: it does not respond.
   */
  readonly state: 'followed' | 'passing' | 'idle' | 'down'
  /** The id of its node; null unless it is followed. */
  readonly node: string | null
  readonly failures: number
  readonly last_error: { readonly detail: string; readonly at: string } | null
}

/** How far a target of a mirror has come. */
export interface TargetStatus {
  readonly url: string
  /** `filling`: it gets everything for the first time. `retrying`: the last attempt failed. */
  readonly state: 'filling' | 'sending' | 'current' | 'retrying'
  /** The id of its node; null until it has responded. */
  readonly node: string | null
  /** Changes that it lacks; null until it has had everything once since the start. */
  readonly lag_changes: number | null
  /** The age of the oldest change that it lacks. */
  readonly lag_seconds: number
  /** Changes that were sent to it since the start. */
  readonly sent: number
  readonly failures: number
  /** The last failure; null for none. */
  readonly last_error: { readonly detail: string; readonly at: string } | null
  readonly last_success_at: string | null
  /** How often it had less than before, as after it was put back from an older copy. */
  readonly setbacks: number
  /** What was compared and mended; null without `--heal-every`. */
  readonly heal: HealStatus | null
}

/** Comparisons with a target since the start, and what they mended there. */
export interface HealStatus {
  readonly is_running: boolean
  readonly runs: number
  readonly failures: number
  /** Members that were mended. */
  readonly mended: number
  /** Of the last run: members that only one of the two has, and that the other may have deleted and forgotten. */
  readonly undecided: number
  readonly last_run_at: string | null
  /** The last failure; null for none. */
  readonly last_error: { readonly detail: string; readonly at: string } | null
}

/** What a node holds of members that it was asked for, in their order; null for what it does not hold. */
export interface LookedUp {
  /** The id of the node. */
  readonly node: string
  readonly versions: readonly (LookedUpVersion | null)[]
}

export type LookedUpVersion = LookedUpMember | LookedUpTombstone

/** A member. Its value is missing if it is larger than was asked for. */
export interface LookedUpMember {
  readonly type: 'put'
  readonly origin: Origin
  readonly created_at: string
  readonly expires_at: string | null
  readonly content_type: string
  readonly flags: number
  readonly value_bytes: number
  /** JSON as it is stored, which is text. */
  readonly value_text?: string
  readonly value_base64?: string
}

/** What is left of a member that was deleted, or has expired. */
export interface LookedUpTombstone {
  readonly type: 'delete' | 'expire'
  readonly origin: Origin
}

/** A version that was lost because two nodes wrote the same member apart. */
export interface Conflict {
  readonly collection: string
  readonly key: string
  readonly seen_at: string
  readonly lost: LostVersion
  /** The version that stayed. */
  readonly kept: { readonly origin: Origin; readonly written_at: string }
}

/** The lost version. What follows `revision` is missing for a delete, and where it is not known any more. */
export interface LostVersion {
  readonly type: 'put' | 'delete'
  readonly origin: Origin
  readonly written_at: string
  /** The revision that the version had on this server; null if it was not stored there. */
  readonly revision: number | null
  readonly created_at?: string
  readonly expires_at?: string | null
  readonly content_type?: string
  readonly flags?: number
  /** The length of the value. One of more than 16 KiB is not kept. */
  readonly bytes?: number
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}

/** A page of conflicts, the latest lost version first. */
export interface ConflictsPage {
  readonly conflicts: readonly Conflict[]
  /** Conflicts that are not listed, because there were too many; null for a token that does not grant `read` on `*`. */
  readonly unlisted: number | null
  /** The cursor of the next page; null after the last one. */
  readonly next: string | null
}

/** What became of the changes that were sent to a node. */
export interface ReplicationSummary {
  /** The id of the receiving node. */
  readonly node: string
  readonly applied: number
  /** Changes that were not newer than what it has. */
  readonly superseded: number
  readonly failed: readonly ImportFailure[]
  /** Further failures, which are not named. */
  readonly failed_more?: number
  /** How far the receiving node had come before, if the sender said where it comes to; null for not known. */
  readonly position?: string | null
}
