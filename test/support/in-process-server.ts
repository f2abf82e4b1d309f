import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '../../src/config.ts'
import { realTimers, type Timers } from '../../src/core/timers.ts'
import type { Running } from '../../src/running.ts'
import { serve } from '../../src/serve.ts'
import { freePort } from './ports.ts'

/**
 * All of `kvist serve` in the process of the test, with a clock that the test may give: on SQLite in a folder of its own, in
 * the fast tier on the memory engine.
 */
export interface ServerInProcess {
  readonly url: string
  readonly port: number
  /** What it has logged so far. */
  output(): string
  /** Does nothing when it has stopped. */
  stop(): Promise<void>
}

export interface InProcessOptions {
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly now?: () => number
  readonly timers?: Timers
  /** The clock of rate limits. */
  readonly monotonicMs?: () => number
  /** Default: a new folder, which goes when the server stops. */
  readonly dataFolder?: string
  /** The flags of another store than one in a folder. */
  readonly store?: readonly string[]
}

export async function serveInProcess(options: InProcessOptions = {}): Promise<ServerInProcess> {
  const { flags = [], env = {}, now = Date.now, timers = realTimers, monotonicMs } = options
  const isInMemory = process.env.KVIST_TEST_SERVER === 'in-process' && options.dataFolder === undefined
  const folder = options.dataFolder ?? mkdtempSync(join(tmpdir(), 'kvist-test-'))
  const isCache = flags.includes('--cache-of')
  const store = options.store ?? (isCache ? [] : isInMemory ? storeInMemory() : ['--data', folder])
  const config = parseConfig(['--port', `${freePort()}`, '--stop-timeout', '0s', ...store, ...flags], env)
  let output = ''
  const write = (line: string) => {
    output += line
  }
  const umask = process.umask()
  const running = await untilReleased(() =>
    serve(config, {
      now,
      timers,
      ...(monotonicMs === undefined ? {} : { monotonicMs }),
      // A store that is still closing on a busy machine would be in the way of what comes next.
      minCloseMs: 10_000,
      log: { readable: false, write },
    }),
  )
  // `serve` sets that of the whole process, in which other tests run too.
  process.umask(umask)
  let stopped: Promise<void> | undefined
  return {
    url: running.url,
    port: Number(new URL(running.url).port),
    output: () => output,
    stop() {
      stopped ??= running.stop().then(() => {
        if (options.dataFolder === undefined) rmSync(folder, { recursive: true, force: true })
      })
      return stopped
    },
  }
}

let redisStores = 0

/** In memory, or a new store in the Redis servers that the flags in KVIST_TEST_REDIS name. */
function storeInMemory(): readonly string[] {
  const redis = process.env.KVIST_TEST_REDIS
  if (redis === undefined) return ['--engine', 'memory']
  return [...redis.split(' '), '--redis-prefix', `test-${process.pid}-${++redisStores}`]
}

/** Tries again while a server that stopped on a busy machine is still closing its store. */
async function untilReleased(start: () => Promise<Running>): Promise<Running> {
  for (let tries = 0; ; tries++) {
    try {
      return await start()
    } catch (error) {
      if (tries === 100 || !String(error).includes('is held by another kvist')) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
