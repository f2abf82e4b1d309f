import type { KvistError } from '../core/errors.ts'
import type { Capability } from '../core/grants.ts'
import { forbidden, isWithin, type Viewer } from '../core/permits.ts'
import type { Command } from './command.ts'

/** What a command needs to be granted, and on which keys; null for the whole collection. */
interface Need {
  readonly can: readonly Capability[]
  readonly keys: readonly string[] | null
}

const nothing: Need = { can: [], keys: [] }

/** Returns the error for a command that is not granted on this collection; null if it may be executed. */
export function missingPermission(viewer: Viewer, collection: string, command: Command): KvistError | null {
  const { can, keys } = needOf(command)
  for (const capability of can) {
    const prefixes = viewer.permits.reach(capability, collection)
    if (keys === null && prefixes[0] !== '')
      return forbidden(viewer.name, capability, `all of collection ${collection}`, { collection })
    const key = keys?.find((one) => !isWithin(prefixes, one))
    if (key !== undefined)
      return forbidden(viewer.name, capability, `${collection}/${key}`, { collection, key })
  }
  return null
}

/** Whether a viewer may do anything with members of the collection. */
export function isUseful({ permits }: Viewer, collection: string): boolean {
  return permits.reach('read', collection).length > 0 || permits.reach('write', collection).length > 0
}

/** A read that may also write needs both, as does a count, whose response is the number. */
function needOf(command: Command): Need {
  switch (command.kind) {
    case 'get':
      return { can: command.touch === null ? ['read'] : ['read', 'write'], keys: command.keys }
    case 'metaGet': {
      const isPure = command.touch === null && command.vivify === null && command.recache === null
      return { can: isPure ? ['read'] : ['read', 'write'], keys: [command.key] }
    }
    case 'metaDebug':
      return { can: ['read'], keys: [command.key] }
    case 'store':
    case 'metaStore':
    case 'delete':
    case 'metaDelete':
    case 'touch':
      return { can: ['write'], keys: [command.key] }
    case 'count':
    case 'metaCount':
      return { can: ['read', 'write'], keys: [command.key] }
    case 'refused':
      return command.drops === null ? nothing : { can: ['write'], keys: [command.drops] }
    case 'flushAll':
      return { can: ['admin'], keys: null }
    case 'stats':
      return { can: [command.args[0] === 'reset' ? 'admin' : 'read'], keys: null }
    case 'verbosity':
    case 'version':
    case 'metaNoop':
    case 'quit':
      return nothing
    default:
      return command satisfies never
  }
}
