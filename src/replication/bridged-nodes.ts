import type { Database } from '../core/database.ts'
import type { Write } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { type Follower, follower } from '../core/follower.ts'
import type { ForeignWrite } from '../core/foreign-write.ts'
import { maxBridgedNodes } from '../core/limits.ts'
import { jsonContentType } from '../core/member.ts'

/**
 * The nodes whose changes this node passes on to its targets although it is no bridge: whoever sends them here asks for it, as
 * an emitter of minstore did with `*` in its servers file. They are kept in a collection of kvist's own, because a target may
 * get the changes long after they came.
 */
export interface BridgedNodes {
  readonly follower: Follower
  has(node: string): boolean
  /** Stores what the sender of these writes asks for. Await it before the writes are applied, or they could be left out. */
  learn(sender: string | null, asksToBridge: boolean, writes: readonly ForeignWrite[]): Promise<void>
}

const bridgedCollection = '_bridged'

export function bridgedNodes(db: () => Pick<Database, 'write'>): BridgedNodes {
  const nodes = new Set<string>()

  async function add(fresh: readonly string[]): Promise<void> {
    if (nodes.size + fresh.length > maxBridgedNodes) {
      throw new KvistError('unprocessable', `changes of more than ${maxBridgedNodes} nodes are not passed on`)
    }
    await db().write(fresh.map(recordOf))
  }

  return {
    follower: follower({
      collection: bridgedCollection,
      take(node, member) {
        if (member === null) nodes.delete(node)
        else nodes.add(node)
      },
      keys: () => nodes,
    }),
    has: (node) => nodes.has(node),
    async learn(sender, asksToBridge, writes) {
      if (asksToBridge) {
        const fresh = new Set(writes.map(({ origin }) => origin.node).filter((node) => !nodes.has(node)))
        if (fresh.size > 0) await add([...fresh])
      } else if (
        sender !== null &&
        nodes.has(sender) &&
        writes.some(({ origin }) => origin.node === sender)
      ) {
        // A node asks for its own changes: that it does not any more counts, whatever others ask for them.
        await db().write([{ op: 'delete', collection: bridgedCollection, key: sender, cause: 'delete' }])
      }
    },
  }
}

function recordOf(node: string): Write {
  const content = { value: 'null', contentType: jsonContentType, flags: 0, expiresAtMs: null }
  return { op: 'put', collection: bridgedCollection, key: node, ...content }
}
