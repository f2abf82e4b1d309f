import type { FollowerStatus, LeaderStatus, NodesStatus, OriginStatus, TargetStatus } from 'kvist-client'
import { formatCount, formatDuration } from '../ui/format.ts'

/** The other servers that this one sends to or gets from, each as a line that a person can read. */

export interface NodeLink {
  readonly relation: 'Sends to' | 'Follows' | 'Is followed by' | 'Caches'
  /** The address, or the id of a node whose address is not known. */
  readonly name: string
  readonly tone: 'good' | 'waiting' | 'bad'
  readonly state: string
  /** How far behind, and what else there is to know. */
  readonly details: readonly string[]
  /** When it last had everything, or was last seen. */
  readonly lastSeenAt: string | null
  readonly error: { readonly detail: string; readonly at: string } | null
}

/** Returns the lines in the order in which changes flow. */
export function nodeLinksOf(status: NodesStatus): readonly NodeLink[] {
  const { leader, followers, targets, origins = [] } = status
  return [
    ...origins.map(ofOrigin),
    ...(leader === null ? [] : [ofLeader(leader)]),
    ...followers.map(ofFollower),
    ...targets.map(ofTarget),
  ]
}

const roles: Readonly<Record<NodesStatus['role'], string>> = {
  leader: 'takes writes',
  follower: 'follows another server, which takes the writes',
  demoted: 'takes no writes any more: another server was promoted in its place',
  cache: 'is a cache, and passes writes on',
}

/** "This server takes writes". */
export function roleOf({ role }: NodesStatus): string {
  return `This server ${roles[role]}`
}

const targetStates: Readonly<Record<TargetStatus['state'], Pick<NodeLink, 'state' | 'tone'>>> = {
  filling: { state: 'Gets everything for the first time', tone: 'waiting' },
  sending: { state: 'Gets what it missed', tone: 'waiting' },
  current: { state: 'Up to date', tone: 'good' },
  retrying: { state: 'Does not take changes; trying again', tone: 'bad' },
}

function ofTarget(target: TargetStatus): NodeLink {
  const { url, state, lag_changes: changes, lag_seconds: seconds, heal, setbacks } = target
  const details = [
    ...lag(changes, seconds),
    ...(setbacks === 0 ? [] : [`was set back ${formatCount(setbacks, 'time')}`]),
    ...(heal === null || heal.mended === 0 ? [] : [`${formatCount(heal.mended, 'member')} mended`]),
    ...(heal === null || heal.undecided === 0 ? [] : [`${formatCount(heal.undecided, 'member')} undecided`]),
  ]
  return {
    relation: 'Sends to',
    name: url,
    ...targetStates[state],
    details,
    lastSeenAt: target.last_success_at,
    error: state === 'current' ? null : target.last_error,
  }
}

function lag(changes: number | null, seconds: number): readonly string[] {
  if (changes === null) return []
  if (changes === 0) return ['lacks nothing']
  const ms = Math.max(1, Math.round(seconds)) * 1000
  return [`lacks ${formatCount(changes, 'change')}`, `${formatDuration(ms)} behind`]
}

const leaderStates: Readonly<Record<LeaderStatus['state'], Pick<NodeLink, 'state' | 'tone'>>> = {
  filling: { state: 'Gets everything from it for the first time', tone: 'waiting' },
  receiving: { state: 'Gets what this server missed', tone: 'waiting' },
  current: { state: 'Up to date', tone: 'good' },
  retrying: { state: 'Does not respond; trying again', tone: 'bad' },
  circular: { state: 'Follows this server in turn: promote one of the two', tone: 'bad' },
}

function ofLeader(leader: LeaderStatus | { readonly url: string }): NodeLink {
  const base = { relation: 'Follows', name: leader.url } as const
  if (!('state' in leader))
    return {
      ...base,
      state: 'Was promoted in place of this server',
      tone: 'waiting',
      details: [],
      lastSeenAt: null,
      error: null,
    }
  return {
    ...base,
    ...leaderStates[leader.state],
    details: [`${formatCount(leader.received, 'change')} received`],
    lastSeenAt: leader.last_current_at,
    error: leader.state === 'current' ? null : leader.last_error,
  }
}

function ofFollower({ node, is_current: isCurrent, last_seen_at: lastSeenAt }: FollowerStatus): NodeLink {
  return {
    relation: 'Is followed by',
    name: `node ${node}`,
    ...(isCurrent
      ? { state: 'Up to date', tone: 'good' as const }
      : { state: 'Gets what it missed', tone: 'waiting' as const }),
    details: [],
    lastSeenAt,
    error: null,
  }
}

const originStates: Readonly<Record<OriginStatus['state'], Pick<NodeLink, 'state' | 'tone'>>> = {
  followed: { state: 'Requests go there', tone: 'good' },
  passing: { state: 'Its changes cannot be read, so nothing is held', tone: 'bad' },
  idle: { state: 'Waits: requests go to another one', tone: 'good' },
  down: { state: 'Does not respond', tone: 'bad' },
}

function ofOrigin({ url, state, failures, last_error: error }: OriginStatus): NodeLink {
  return {
    relation: 'Caches',
    name: url,
    ...originStates[state],
    details: failures === 0 ? [] : [formatCount(failures, 'failure')],
    lastSeenAt: null,
    error: state === 'followed' ? null : error,
  }
}
