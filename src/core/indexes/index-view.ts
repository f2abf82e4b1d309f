import type { StaleView } from '../stale-view.ts'
import type { IndexRegistry } from './registry.ts'

/**
 * How new this server's knowledge of the indexes is, where other servers write to the store, as a number: the largest revision of
 * settings or progress that it has taken over. All of them are on one line, so whoever has a number knows all that was before it.
 */
export interface IndexView {
  /** 0 as long as nothing is known, or not any more. */
  number(): number
  /** Everything up to a revision is known. */
  adopt(revision: number): void
  /** Resolves when the view is new enough for what was refused. */
  refresh(stale: StaleView): Promise<void>
  /** The store lost changes: reads all again. */
  reload(): Promise<void>
}

/** `load` reads the settings, then the progress, into the registry. */
export function indexView(
  registry: Pick<IndexRegistry, 'revision' | 'lose'>,
  load: () => Promise<void>,
): IndexView {
  let adopted = 0
  /** Revisions up to this one may be of changes that the store has lost. */
  let lostUpTo = 0
  let setbacks = 0
  /** Nothing has been loaded since the last setback. */
  let isUnknown = false
  let loading: Promise<void> | null = null
  let next: Promise<void> | null = null

  function number(): number {
    if (isUnknown) return 0
    const revision = registry.revision()
    return Math.max(adopted, revision > lostUpTo ? revision : 0)
  }

  async function loadOnce(): Promise<void> {
    const before = setbacks
    try {
      await load()
      if (setbacks === before) isUnknown = false
    } finally {
      loading = null
    }
  }

  /** One load under way may have read too early, so another one follows it, for all that ask meanwhile. */
  function loadAfresh(): Promise<void> {
    if (loading === null) {
      loading = loadOnce()
      return loading
    }
    next ??= loading
      .catch(() => {})
      .then(() => {
        next = null
        return loadAfresh()
      })
    return next
  }

  function adopt(revision: number): void {
    if (!isUnknown && revision > adopted) adopted = revision
  }

  return {
    number,
    adopt,
    async refresh({ view, lost }) {
      if (lost !== null) registry.lose(lost)
      if (number() >= view) return
      await loadAfresh()
      adopt(view)
    },
    reload() {
      setbacks++
      isUnknown = true
      adopted = 0
      lostUpTo = registry.revision()
      return loadAfresh()
    },
  }
}
