import { Kvist } from '../../sdk/client.ts'
import type { Database } from '../../src/core/database.ts'
import { type OtherNodes, withLookup } from '../../src/core/lookup.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { realTimers, type Timers } from '../../src/core/timers.ts'
import { commitSignal } from '../../src/replication/commit-signal.ts'
import { httpTarget } from '../../src/replication/http-target.ts'
import { nodeKnowledge } from '../../src/replication/knowledge.ts'
import { type Lookup, startLookup } from '../../src/replication/lookup.ts'
import { type Mirror, realSleep, startMirror } from '../../src/replication/mirror.ts'
import { checkEveryMs, type Target } from '../../src/replication/peer.ts'
import { type InProcessServer, startInProcess } from './in-process.ts'

/** A server in the process of the test that can mirror to others, which are started first. */
export interface TestNode extends InProcessServer {
  readonly warnings: string[]
  mirror: Mirror | null
  mirrorTo(targets: readonly (string | Target)[], options?: MirrorToOptions): Mirror
  /** The node has to be started with `looksUp`. */
  lookUpIn(
    urls: readonly string[],
    options?: { readonly token?: string; readonly timeoutMs?: number },
  ): Lookup
}

export interface MirrorToOptions {
  readonly isBridge?: boolean
  readonly only?: readonly string[]
  readonly tokens?: boolean
  readonly token?: string
  /** Pauses after failures, and between checks of a target that gets nothing; those of failures are short if left out. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface TestNodeOptions {
  readonly now?: () => number
  readonly token?: string | null
  readonly maxClockAheadMs?: number
  readonly timers?: Timers
  readonly looksUp?: true
}

export async function startNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const { now = Date.now, token = null, maxClockAheadMs, timers = realTimers } = options
  const signal = commitSignal()
  const warnings: string[] = []
  const log = {
    info() {},
    warn: (message: string, fields = {}) => warnings.push(`${message} ${JSON.stringify(fields)}`),
  }
  const errors: unknown[] = []
  const knowledge = nodeKnowledge({ db: () => server.db, now })
  const idle = startMirrorOf({ targets: [] })
  let mirror: Mirror | null = null
  let lookup: Lookup | null = null
  const others: OtherNodes = {
    ask: (...given) => lookup!.nodes.ask(...given),
    askOne: (...given) => lookup!.nodes.askOne(...given),
    sendDelete: (...given) => lookup!.nodes.sendDelete(...given),
    count: (outcome) => lookup!.nodes.count(outcome),
  }

  function startMirrorOf(
    { targets, ...given }: MirrorToOptions & { targets: readonly Target[] },
    db?: Database,
  ) {
    return startMirror({
      db: db as Database,
      signal,
      now,
      log,
      onError: (error) => errors.push(error),
      sleep: given.sleep ?? ((ms, aborted) => realSleep(ms === checkEveryMs ? ms : 5, aborted)),
      targets,
      knowledge,
      rules: {
        only: (given.only ?? []).map((pattern) => compilePattern(pattern)),
        tokensCollection: given.tokens === true ? '_tokens' : null,
        isBridge: given.isBridge ?? false,
      },
    })
  }

  const server = await startInProcess(now, token, timers, undefined, {
    followers: [signal.follower, knowledge.follower],
    ...(options.looksUp ? { storeOf: (db: Database) => withLookup(db, others, now) } : {}),
    store: { recordsRenewals: () => true, ...(maxClockAheadMs === undefined ? {} : { maxClockAheadMs }) },
    nodes: {
      learnBridge: async () => {},
      watchOf: (sender, knows) => (mirror ?? idle).conflicts.watchOf(sender, knows),
      targets: () => (mirror?.status() ?? []).map((target) => ({ ...target, heal: null })),
      conflicts: () => (mirror ?? idle).conflicts.count(),
    },
  })
  return {
    ...server,
    warnings,
    get mirror() {
      return mirror
    },
    mirrorTo(targets, given = {}) {
      const access = given.token === undefined ? {} : { token: given.token }
      const all = targets.map((target) =>
        typeof target === 'string' ? httpTarget(new Kvist(target, access), server.db.nodeId) : target,
      )
      mirror = startMirrorOf({ ...given, targets: all }, server.db)
      return mirror
    },
    lookUpIn(urls, { timeoutMs = 1000, ...access } = {}) {
      lookup = startLookup({
        kvists: urls.map((url) => new Kvist(url, access)),
        nodeId: server.db.nodeId,
        timeoutMs,
        isMirrored: (url) => mirror?.status().some((target) => target.url === url) ?? false,
        log,
        now,
      })
      return lookup
    },
    async stop() {
      await mirror?.stop()
      await server.stop()
      if (errors.length > 0) throw errors[0]
    },
  }
}
