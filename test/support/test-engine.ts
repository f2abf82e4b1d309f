import type { Engine, OnCommit } from '../../src/core/engine.ts'
import { openMemory } from '../../src/engines/memory/engine.ts'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { newFolder } from './engine.ts'
import { lateEngine } from './late-engine.ts'
import { openTestRedis } from './redis-engine.ts'

/** The engines that tests of the core and of the edges can run on. */
const kinds: Readonly<Record<string, (onCommit: OnCommit) => Promise<Engine>>> = {
  memory: async (onCommit) => openMemory({ onCommit }),
  late: async (onCommit) => lateEngine(openMemory({ onCommit })),
  redis: (onCommit) => openRedisStore(onCommit),
  sqlite: (onCommit) => openSqlite({ dir: newFolder(), durability: 'relaxed', onCommit }),
}

let redisStores = 0

/** On the server on the port of this machine that KVIST_TEST_REDIS_PORT says, with as many lines as KVIST_TEST_REDIS_LINES. */
function openRedisStore(onCommit: OnCommit): Promise<Engine> {
  const server = { host: '127.0.0.1', port: Number(process.env.KVIST_TEST_REDIS_PORT) }
  const prefix = `engine-${process.pid}-${++redisStores}`
  return openTestRedis([server], { prefix, onCommit, lines: Number(process.env.KVIST_TEST_REDIS_LINES ?? 1) })
}

/** Opens an empty store: in memory, unless KVIST_TEST_ENGINE says `late`, `redis` or `sqlite`. */
export function openTestEngine(onCommit: OnCommit): Promise<Engine> {
  return openKind(process.env.KVIST_TEST_ENGINE ?? 'memory', onCommit)
}

/** Opens the same, but in memory with results that come late unless KVIST_TEST_ENGINE says otherwise. */
export function openLateTestEngine(onCommit: OnCommit): Promise<Engine> {
  return openKind(process.env.KVIST_TEST_ENGINE ?? 'late', onCommit)
}

function openKind(kind: string, onCommit: OnCommit): Promise<Engine> {
  const open = kinds[kind]
  if (open === undefined)
    throw new Error(`KVIST_TEST_ENGINE is ${Object.keys(kinds).join(', ')}, not ${kind}`)
  return open(onCommit)
}
