import type { Config } from './config.ts'
import { openDatabase } from './core/database.ts'
import { openSqlite } from './engines/sqlite/engine.ts'
import { healthRoutes } from './http/health.ts'
import { listen } from './http/server.ts'
import { v1Routes } from './http/v1/routes.ts'
import { type Log, startLog } from './telemetry/log.ts'

/** A kvist that runs. */
export interface Running {
  readonly url: string
  /** Finishes what is in flight, commits, closes. */
  stop(): Promise<void>
}

/** The composition root: everything is put together here and nowhere else. */
export async function serve(config: Config): Promise<Running> {
  const log = startLog({ level: config.logLevel, readable: process.stdout.isTTY })
  const onError = (error: unknown) => log.error(error)
  const db = await openDatabase({
    open: (onCommit) => openSqlite({ dir: config.dataFolder, durability: config.durability, onCommit }),
    cacheBytes: config.cacheBytes,
    now: Date.now,
    onError,
  })
  let ready = true
  try {
    const { host, port, idleTimeoutSeconds, token } = config
    const routes = [...healthRoutes(() => ready), ...v1Routes(db)]
    const http = listen({ host, port, idleTimeoutSeconds, token, routes, onError })
    announce(log, config, http.url)
    return {
      url: http.url,
      async stop() {
        ready = false
        await http.stop(config.stopTimeoutMs)
        await db.close()
        log.info('stopped')
      },
    }
  } catch (error) {
    await db.close()
    throw error
  }
}

function announce(log: Log, config: Config, url: string): void {
  log.info(`kvist serves ${url}`, { url, data: config.dataFolder, durability: config.durability })
}
