import { KvistError } from '../../core/errors.ts'
import type { IndexLife, SharedStore } from '../../core/shared-store.ts'
import type { Cluster } from './cluster.ts'
import { faultOf, staleViewOf } from './errors.ts'
import type { LineKeys, LineMap } from './layout.ts'
import { type RedisCommand, type Reply, runIdArgument } from './resp.ts'
import beginIndexScript from './scripts/begin-index.lua' with { type: 'text' }
import finishIndexScript from './scripts/finish-index.lua' with { type: 'text' }

export interface IndexLinesOptions {
  readonly cluster: Cluster
  readonly keys: readonly LineKeys[]
  readonly lines: LineMap
  /** Called before the first index is begun: servers of older versions must not start any more. */
  readonly raiseFormat: () => Promise<void>
}

/** Keeps what the lines know of indexes, in their heads (core/shared-store.ts). */
export function indexLines({ cluster, keys, lines, raiseFormat }: IndexLinesOptions): SharedStore {
  const scripts = { begin: cluster.script(beginIndexScript), finish: cluster.script(finishIndexScript) }

  async function send(slot: number, command: RedisCommand): Promise<Reply> {
    try {
      const { reply, isReplicated } = await cluster.write(slot, command)
      return isReplicated ? reply : 0
    } catch (error) {
      throw staleViewOf(error) ?? faultOf(error)
    }
  }

  /** Returns whether all lines replied with 1. */
  async function onAll(script: string, { id, generation }: IndexLife, view: number): Promise<boolean> {
    const about = [id, String(generation), String(view), runIdArgument] as const
    const replies = await Promise.all(
      keys.map(({ slot, head }) => send(slot, ['EVALSHA', script, 1, head, ...about])),
    )
    return replies.every((reply) => reply === 1)
  }

  return {
    isOnOneLine: (collection) => lines.linesOf(collection).length === 1,
    async beginIndex(life, view) {
      await raiseFormat()
      if (await onAll(scripts.begin, life, view)) return
      throw new KvistError('unavailable', 'too few replicas of a Redis server confirmed the start of a build')
    },
    finishIndex: (life, view) => onAll(scripts.finish, life, view),
    async forgetIndex(id) {
      await Promise.all(
        keys.map(({ slot, head }) => send(slot, ['HDEL', head, `begun:${id}`, `whole:${id}`])),
      )
    },
  }
}
