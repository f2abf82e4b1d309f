import type { Commit, Write } from '../engine.ts'
import { parseSettings, settingsCollection } from '../settings.ts'
import { indexOf } from './definition.ts'
import { type IndexRegistry, progressDelete } from './registry.ts'

/**
 * Adds the deletes of the progress of indexes that a commit removes from settings: were it found later, entries would be taken
 * for complete that were not kept in between. Setting an index again that has failed removes it, too.
 */
export function withoutProgress(registry: Pick<IndexRegistry, 'of'>, commit: Commit): Commit {
  if (!commit.writes.some(({ collection }) => collection === settingsCollection)) return commit
  const deletes = commit.writes.flatMap((write) =>
    write.op === 'renew' ? [] : progressDeletes(registry, write),
  )
  return deletes.length === 0 ? commit : { ...commit, writes: [...commit.writes, ...deletes] }
}

function progressDeletes(registry: Pick<IndexRegistry, 'of'>, write: Write): Write[] {
  const { collection, key } = write
  if (collection !== settingsCollection) return []
  const kept = new Set(idsIn(write))
  return registry
    .of(key)
    .filter(({ id, state }) => state === 'failed' || !kept.has(id))
    .map(progressDelete)
}

/** The ids of the indexes in settings that are written. */
function idsIn(write: Write): string[] {
  if (write.op === 'delete') return []
  try {
    const { indexes } = parseSettings(JSON.parse(String(write.value)))
    return indexes.map((definition) => indexOf(write.key, definition).id)
  } catch {
    return []
  }
}
