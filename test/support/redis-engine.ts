import type { Engine } from '../../src/core/engine.ts'
import { openRedis, type RedisEngineOptions } from '../../src/engines/redis/engine.ts'
import type { ServerAddress } from '../../src/engines/redis/servers.ts'

/** Opens the Redis engine for a test, with what the options leave out. */
export function openTestRedis(
  servers: readonly ServerAddress[],
  options: Pick<RedisEngineOptions, 'prefix' | 'onCommit'> & Partial<RedisEngineOptions>,
): Promise<Engine> {
  return openRedis({
    servers,
    user: null,
    password: null,
    tls: null,
    timeoutMs: 5000,
    patienceMs: 10_000,
    replicas: 0,
    replicasTimeoutMs: 1000,
    lines: 16,
    placement: 'spread',
    isDurable: false,
    now: Date.now,
    warn() {},
    onSetback() {},
    ...options,
  })
}
