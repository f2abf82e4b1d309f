import type { Write } from './engine.ts'
import { jsonContentType } from './member.ts'
import type { Reads } from './reads.ts'
import { realTimers, type StopTimer, type Timers } from './timers.ts'

/**
 * How far other nodes have sent this one everything, by positions that only they understand. They are stored in this store,
 * so they go back with it when it is put back from an older copy: then the sender sees that this node lacks what it had
 * received, and sends it again.
 */
export interface SourcePositions {
  /** Notes what a node has sent, and returns its position before; null if none is known. */
  move(source: string, step: PositionStep): Promise<string | null>
  /** Stores what is not stored yet, and stores nothing later. */
  stop(): Promise<void>
}

export interface PositionStep {
  /** Where the sender believes that this node was; the position stays where it is if that is not so. Null for wherever. */
  readonly after: string | null
  readonly to: string
}

const sourcesCollection = '_sources'
/**
 * A position is stored at most this often. One that is behind by as much, as after a crash, lets the sender send a little again.
 */
const saveEveryMs = 1000

interface Source {
  position: string | null
  saved: string | null
  stopTimer: StopTimer | null
}

interface PositionStore {
  readonly get: Reads['get']
  readonly write: (writes: readonly Write[]) => Promise<unknown>
}

export function sourcePositions(db: PositionStore, timers: Timers = realTimers): SourcePositions {
  const sources = new Map<string, Source>()

  async function sourceOf(name: string): Promise<Source> {
    const known = sources.get(name)
    if (known !== undefined) return known
    const member = await db.get(sourcesCollection, name)
    const position = member === null ? null : String(JSON.parse(String(member.value)))
    // Another request may have been quicker.
    const source = sources.get(name) ?? { position, saved: position, stopTimer: null }
    sources.set(name, source)
    return source
  }

  async function save(name: string, source: Source): Promise<void> {
    const { position } = source
    source.saved = position
    const content = {
      value: JSON.stringify(position),
      contentType: jsonContentType,
      flags: 0,
      expiresAtMs: null,
    }
    await db.write([{ op: 'put', collection: sourcesCollection, key: name, ...content }])
  }

  function saveLater(name: string, source: Source): void {
    source.stopTimer ??= timers.after(saveEveryMs, () => {
      source.stopTimer = null
      // The store may be closing, or its disk full: then the sender sends a little again.
      if (source.position !== source.saved) save(name, source).catch(() => {})
    })
  }

  return {
    async move(name, { after, to }) {
      const source = await sourceOf(name)
      const { position, stopTimer } = source
      if (after !== null && after !== position) return position
      source.position = to
      if (to === source.saved) return position
      // The first at once: without any, the sender would have to send everything again.
      if (source.saved === null && stopTimer === null) await save(name, source)
      else saveLater(name, source)
      return position
    },
    async stop() {
      for (const [name, source] of sources) {
        source.stopTimer?.()
        if (source.position !== source.saved) await save(name, source)
      }
    },
  }
}
