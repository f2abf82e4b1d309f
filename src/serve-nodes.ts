import { readFileSync } from 'node:fs'
import { Kvist, type KvistOptions } from '../sdk/client.ts'
import { tokensCollection } from './auth/tokens.ts'
import type { Config } from './config.ts'
import type { Database } from './core/database.ts'
import type { Follower } from './core/follower.ts'
import { leaderWrites } from './core/leadership.ts'
import { withLookup } from './core/lookup.ts'
import { compilePattern } from './core/pattern.ts'
import type { NodeRouteOptions } from './http/v1/nodes.ts'
import { replicateLines } from './http/v1/replicate.ts'
import { refuse } from './options.ts'
import { type BridgedNodes, bridgedNodes } from './replication/bridged-nodes.ts'
import { type CommitSignal, commitSignal } from './replication/commit-signal.ts'
import { localNode, remoteNode } from './replication/compared-node.ts'
import { follow, withoutForgotten } from './replication/following.ts'
import { type Healer, startHealer } from './replication/heal.ts'
import { noteStart, type WroteHere } from './replication/history.ts'
import { httpTarget } from './replication/http-target.ts'
import { type Knowledge, nodeKnowledge } from './replication/knowledge.ts'
import { type NodeLeadership, startLeadership } from './replication/leadership.ts'
import { type Lookup, startLookup } from './replication/lookup.ts'
import { type Mirror, realSleep, startMirror } from './replication/mirror.ts'
import { type PassOn, passOn } from './replication/pass-on.ts'
import { hasProgress } from './replication/progress.ts'
import { type ReplicaFeed, replicaFeed } from './replication/replica-feed.ts'
import { comparedRules } from './replication/selection.ts'
import type { Log } from './telemetry/log.ts'
import type { NodeNumbers } from './telemetry/metric-sources.ts'
import { tokenInFile } from './token-file.ts'

/** The part of the server that exchanges changes with other nodes. */
export interface ServerNodes {
  /** Options of the store, which is opened before the mirror starts. */
  readonly storeOptions: {
    readonly recordsRenewals: () => boolean
    readonly maxClockAheadMs: number
  }
  readonly followers: readonly Follower[]
  /** The servers to which requests of minstore's clients are passed on. */
  readonly servers: {
    readonly urls: readonly string[]
    readonly readTimeoutMs: number
    readonly send: PassOn
    onMissed(url: string, uid: string, why: string): void
  }
  /** Starts to send the changes of the store. */
  start(db: Database): Promise<StartedNodes>
}

export interface StartedNodes {
  /** The store as requests use it. */
  readonly store: Database
  /** The store as minstore's clients use it: with a servers file, it looks in those servers too. */
  readonly minstoreStore: Database
  readonly routeOptions: NodeRouteOptions
  readonly leadership: NodeLeadership
  numbers(): NodeNumbers
  stop(): Promise<void>
}

interface Reporting {
  readonly log: Log
  readonly now: () => number
  readonly onError: (error: unknown) => void
}

export function prepareNodes(config: Config, reporting: Reporting): ServerNodes {
  const { mirrorTo, maxClockAheadMs } = config
  const signal = commitSignal()
  let store: Database | null = null
  const bridged = bridgedNodes(() => store!)
  const knowledge = nodeKnowledge({ db: () => store!, now: reporting.now })
  const access = accessOf(config)
  let isRecording = mirrorTo.length > 0 || config.follow !== null
  return {
    storeOptions: { recordsRenewals: () => isRecording, maxClockAheadMs },
    followers: [signal.follower, bridged.follower, knowledge.follower],
    servers: {
      urls: mirrorTo,
      readTimeoutMs: config.lookupTimeoutMs,
      send: passOn({ token: access.token, tls: access.tls }),
      onMissed: missedLog(reporting),
    },
    async start(db) {
      store = db
      isRecording ||= await hasProgress(db)
      const wroteHere = isRecording ? await noteStart(db, reporting.now(), maxClockAheadMs) : () => true
      const onFollower = () => {
        isRecording = true
      }
      const feed = replicaFeed({ ...reporting, db, signal, tokensCollection, knowledge, onFollower })
      const mirror = startMirror({
        ...reporting,
        db,
        signal,
        targets: mirrorTo.map((url) => {
          const kvist = new Kvist(url, access)
          const target = httpTarget(kvist, db.nodeId, undefined, config.asksToBridge)
          return { ...target, withoutForgotten: withoutForgotten({ ...reporting, leader: kvist }) }
        }),
        hasFollower: feed.hasSent,
        knowledge,
        rules: {
          only: config.mirrorOnly.map((pattern) => compilePattern(pattern)),
          tokensCollection: config.mirrorTokens ? tokensCollection : null,
          isBridge: config.bridge,
          isBridged: bridged.has,
        },
        sleep: realSleep,
      })
      const healers = healersOf(config, access, { db, mirror, wroteHere }, reporting)
      const leadership = await leadershipOf(config, access, { db, signal, mirror, knowledge }, reporting)
      const hasList = config.servers !== null && mirrorTo.length > 0
      const lookup = config.lookup || hasList ? lookupOf(config, access, db, reporting) : null
      const found = lookup === null ? db : withLookup(db, lookup.nodes, reporting.now)
      const minstoreStore = leaderWrites(found, leadership)
      const plain = config.lookup ? minstoreStore : leaderWrites(db, leadership)
      return started({
        ...{ mirror, bridged, healers, feed, leadership, lookup },
        ...{ store: plain, minstoreStore },
      })
    },
  }
}

/** The parts that a healer needs. */
interface Healed {
  readonly db: Database
  readonly mirror: Mirror
  readonly wroteHere: WroteHere
}

/** Returns what heals each target, in their order; nothing without `--heal-every`. */
function healersOf(
  config: Config,
  access: KvistOptions,
  { db, mirror, wroteHere }: Healed,
  reporting: Reporting,
): readonly Healer[] {
  const { mirrorTo, healEveryMs, mirrorOnly, mirrorTokens } = config
  if (healEveryMs === null) return []
  const { now } = reporting
  const receiver = { watchOf: mirror.conflicts.watchOf }
  const apply = (lines: string, sender: string) =>
    replicateLines(db, receiver, { parts: onePart(lines), sender, now })
  return mirrorTo.map((url, i) =>
    startHealer({
      ...reporting,
      local: localNode({ db, now, apply }),
      target: remoteNode(new Kvist(url, access), { timeoutMs: healTimeoutMs }),
      everyMs: healEveryMs,
      isCompared: comparedRules(mirrorOnly, mirrorTokens),
      isCurrent: () => mirror.status()[i]?.state === 'current',
      wroteHere,
      sleep: realSleep,
    }),
  )
}

/** How long a target may take for one request of a comparison. */
const healTimeoutMs = 60_000

/** At most one line is logged in this time. */
const missedEveryMs = 10_000

/** Returns what logs that a server did not take a record which a client of minstore wrote with `cache=1`. */
function missedLog({ log, now }: Reporting): (server: string, record: string, why: string) => void {
  let loggedMs = Number.NEGATIVE_INFINITY
  return (server, record, why) => {
    if (now() >= loggedMs && now() - loggedMs < missedEveryMs) return
    loggedMs = now()
    log.warn('a server did not take a record that was passed on', { server, record, why })
  }
}

function leadershipOf(
  { follow: followed }: Config,
  access: KvistOptions,
  {
    db,
    signal,
    mirror,
    knowledge,
  }: {
    readonly db: Database
    readonly signal: CommitSignal
    readonly mirror: Mirror
    readonly knowledge: Knowledge
  },
  reporting: Reporting,
): Promise<NodeLeadership> {
  const shared = { ...reporting, db, sleep: realSleep }
  const kvistOf = (url: string) => new Kvist(url, access)
  const receiver = { watchOf: mirror.conflicts.watchOf }
  const { now } = reporting
  return startLeadership({
    ...shared,
    follow: followed,
    kvistOf,
    startFollowing: (url) =>
      follow({
        ...shared,
        signal,
        knowledge,
        tokensCollection,
        leader: kvistOf(url),
        apply: (lines, sender, knows) =>
          replicateLines(db, receiver, { parts: onePart(lines), sender, knows, now }),
      }),
  })
}

async function* onePart(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

/** Returns what the client needs for targets: the token, and the authorities. Throws UsageError. */
function accessOf({ mirrorTokenFile, mirrorCa }: Config): KvistOptions {
  return {
    ...(mirrorTokenFile === null ? {} : { token: tokenInFile(mirrorTokenFile) }),
    ...(mirrorCa === null ? {} : { tls: { ca: authoritiesIn(mirrorCa) } }),
  }
}

function authoritiesIn(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error
    return refuse(`--mirror-ca ${path} cannot be read: ${why}`)
  }
}

function lookupOf(config: Config, access: KvistOptions, db: Database, reporting: Reporting): Lookup {
  const { mirrorTo, lookupIn, lookupTimeoutMs, mirrorOnly } = config
  const patterns = mirrorOnly.map((pattern) => compilePattern(pattern))
  const isSent = (collection: string) =>
    patterns.length === 0 || patterns.some((one) => one.matches(collection))
  return startLookup({
    ...reporting,
    kvists: [...new Set([...mirrorTo, ...lookupIn])].map((url) => new Kvist(url, access)),
    nodeId: db.nodeId,
    timeoutMs: lookupTimeoutMs,
    isMirrored: (url, collection) => mirrorTo.includes(url) && isSent(collection),
  })
}

function started({
  mirror,
  bridged,
  healers,
  feed,
  leadership,
  lookup,
  store,
  minstoreStore,
}: {
  readonly mirror: Mirror
  readonly bridged: BridgedNodes
  readonly healers: readonly Healer[]
  readonly feed: ReplicaFeed
  readonly leadership: NodeLeadership
  readonly lookup: Lookup | null
  readonly store: Database
  readonly minstoreStore: Database
}): StartedNodes {
  const { conflicts } = mirror
  const targets = () =>
    mirror.status().map((target, i) => ({ ...target, heal: healers[i]?.status() ?? null }))
  return {
    store,
    minstoreStore,
    leadership,
    routeOptions: {
      watchOf: conflicts.watchOf,
      learnBridge: bridged.learn,
      conflicts: conflicts.count,
      targets,
      leader: { pages: feed, leadership },
      looksUp: lookup !== null,
    },
    numbers: () => ({
      conflicts: conflicts.count(),
      targets: targets(),
      following: leadership.status().following,
      ...(lookup === null ? {} : { lookups: lookup.counts() }),
    }),
    async stop() {
      await Promise.all([mirror.stop(), leadership.stop(), ...healers.map((one) => one.stop())])
    },
  }
}
