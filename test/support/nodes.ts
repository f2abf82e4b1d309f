import { Kvist } from '../../sdk/client.ts'
import type { Database } from '../../src/core/database.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { realTimers, type Timers } from '../../src/core/timers.ts'
import { commitSignal } from '../../src/replication/commit-signal.ts'
import { httpTarget } from '../../src/replication/http-target.ts'
import { type Mirror, realSleep, startMirror } from '../../src/replication/mirror.ts'
import type { Target } from '../../src/replication/peer.ts'
import { type InProcessServer, startInProcess } from './in-process.ts'

/** A server in the process of the test that can mirror to others, which are started first. */
export interface TestNode extends InProcessServer {
  readonly warnings: string[]
  mirror: Mirror | null
  mirrorTo(targets: readonly (string | Target)[], options?: MirrorToOptions): Mirror
}

export interface MirrorToOptions {
  readonly isBridge?: boolean
  readonly only?: readonly string[]
  readonly tokens?: boolean
  readonly token?: string
  /** Pauses after failures; none if left out. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface TestNodeOptions {
  readonly now?: () => number
  readonly token?: string | null
  readonly maxClockAheadMs?: number
  readonly timers?: Timers
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
  const idle = startMirrorOf({ targets: [] })
  let mirror: Mirror | null = null

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
      sleep: given.sleep ?? ((_ms, aborted) => realSleep(5, aborted)),
      targets,
      rules: {
        only: (given.only ?? []).map((pattern) => compilePattern(pattern)),
        tokensCollection: given.tokens === true ? '_tokens' : null,
        isBridge: given.isBridge ?? false,
      },
    })
  }

  const server = await startInProcess(now, token, timers, undefined, {
    followers: [signal.follower],
    store: { recordsRenewals: () => true, ...(maxClockAheadMs === undefined ? {} : { maxClockAheadMs }) },
    nodes: {
      onReplicated: (...given) => (mirror ?? idle).conflicts.note(...given),
      targets: () => mirror?.status() ?? [],
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
    async stop() {
      await mirror?.stop()
      await server.stop()
      if (errors.length > 0) throw errors[0]
    },
  }
}
