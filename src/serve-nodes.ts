import { readFileSync } from 'node:fs'
import { Kvist, type KvistOptions } from '../sdk/client.ts'
import { tokensCollection } from './auth/tokens.ts'
import type { Config } from './config.ts'
import type { Database } from './core/database.ts'
import { compilePattern } from './core/pattern.ts'
import type { NodeRouteOptions } from './http/v1/nodes.ts'
import { refuse } from './options.ts'
import { type CommitSignal, commitSignal } from './replication/commit-signal.ts'
import { httpTarget } from './replication/http-target.ts'
import { type Mirror, realSleep, startMirror } from './replication/mirror.ts'
import { hasProgress } from './replication/progress.ts'
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
  readonly signal: CommitSignal
  /** Starts to send the changes of the store. */
  start(db: Database): Promise<StartedNodes>
}

export interface StartedNodes {
  readonly routeOptions: NodeRouteOptions
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
  const access = accessOf(config)
  let isRecording = mirrorTo.length > 0
  return {
    storeOptions: { recordsRenewals: () => isRecording, maxClockAheadMs },
    signal,
    async start(db) {
      isRecording ||= await hasProgress(db)
      const mirror = startMirror({
        ...reporting,
        db,
        signal,
        targets: mirrorTo.map((url) => httpTarget(new Kvist(url, access), db.nodeId)),
        rules: {
          only: config.mirrorOnly.map((pattern) => compilePattern(pattern)),
          tokensCollection: config.mirrorTokens ? tokensCollection : null,
          isBridge: config.bridge,
        },
        sleep: realSleep,
      })
      return started(mirror)
    },
  }
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

function started(mirror: Mirror): StartedNodes {
  const { conflicts } = mirror
  return {
    routeOptions: {
      onReplicated: conflicts.note,
      conflicts: conflicts.count,
      targets: mirror.status,
    },
    numbers: () => ({ conflicts: conflicts.count(), targets: mirror.status() }),
    stop: mirror.stop,
  }
}
