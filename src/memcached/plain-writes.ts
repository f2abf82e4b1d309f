import type { Write, Written } from '../core/engine.ts'
import type { MemcachedCounts } from '../telemetry/memcached-counts.ts'
import type { Command, Refused } from './command.ts'
import { contentOf } from './contents.ts'
import { decideStore, type ItemWrite } from './decide.ts'
import { responses } from './error-lines.ts'
import { respondMetaDelete, respondMetaStore } from './meta-responses.ts'
import type { Responses } from './responses.ts'
import type { MemcachedState } from './state.ts'

/**
 * Commands that are independent of the current member, so that no read is needed: `set`, `delete` and their meta forms.
 * A connection sends them to the store without waiting for those before them.
 */

/** Returns the write of such a command; null for any other command. */
export function plainWrite(command: Command, { collection, settings, now }: MemcachedState): Write | null {
  switch (command.kind) {
    case 'store':
    case 'metaStore': {
      if (command.mode !== 'set') return null
      const outcome = decideStore(command, null, now(), settings.maxValueBytes)
      return outcome.status === 'stored' ? putOf(collection, command.key, outcome.write, command.value) : null
    }
    case 'delete':
      return deleteOf(collection, command.key)
    case 'metaDelete': {
      const plain = command.casUnique === null && !command.invalidate && !command.removeValue
      return plain ? deleteOf(collection, command.key) : null
    }
    case 'refused':
      return command.drops === null ? null : deleteOf(collection, command.drops)
    default:
      return null
  }
}

function putOf(collection: string, key: string, { flags, expiresAtMs }: ItemWrite, bytes: Uint8Array): Write {
  const { value, contentType } = contentOf(bytes)
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}

function deleteOf(collection: string, key: string): Write {
  return { op: 'delete', collection, key, cause: 'delete' }
}

/** Responds to a command whose write `plainWrite` returned. */
export function respondPlain(
  out: Responses,
  counts: MemcachedCounts,
  command: Command,
  written: Written,
): void {
  switch (command.kind) {
    case 'store':
      counts.cmd_set++
      counts.total_items++
      if (!command.noreply) out.line('STORED')
      break
    case 'metaStore':
      counts.cmd_meta++
      counts.cmd_set++
      counts.total_items++
      respondMetaStore(out, command, 'stored', written.revision, command.value.length)
      break
    case 'delete':
      countDelete(counts, written.existed)
      if (!command.noreply) out.line(written.existed ? 'DELETED' : 'NOT_FOUND')
      break
    case 'metaDelete':
      counts.cmd_meta++
      countDelete(counts, written.existed)
      respondMetaDelete(out, command, written.existed ? 'deleted' : 'notFound')
      break
    case 'refused':
      countRefused(counts, command)
      if (!command.silent) out.line(command.response)
      break
    default:
      throw new Error(`${command.kind} is no plain write`)
  }
}

export function countRefused(counts: MemcachedCounts, { response }: Refused): void {
  if (response === responses.tooLarge) counts.store_too_large++
}

function countDelete(counts: MemcachedCounts, existed: boolean): void {
  if (existed) counts.delete_hits++
  else counts.delete_misses++
}
