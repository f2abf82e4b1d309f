/**
 * Words of this project that were replaced by the field's. `bun scripts/tidy.ts` refuses them, so that none comes back.
 * Add a row in the commit that removes the last use of a word.
 */
export interface GoneWord {
  /**
   * The word in lower case, as a pattern where it has several forms: `foresee[ns]?`. It matches a whole word and a part
   * of a name, as in `foreseen`, `isForeseen` and `foreseeAll`.
   */
  readonly word: string
  readonly instead: string
  /** Checks only names or titles of tests if the word is good English elsewhere, or also comments, messages and docs. */
  readonly where: 'names' | 'titles' | 'everywhere'
}

export const goneWords: readonly GoneWord[] = [
  { word: 'foresee[ns]?', instead: 'prefetch, batched read', where: 'everywhere' },
  { word: 'lanes?', instead: 'keyed mutex', where: 'everywhere' },
  { word: 'isDeaf', instead: 'inputClosed', where: 'everywhere' },
  { word: 'mayEnter', instead: 'isAuthorized', where: 'everywhere' },
  { word: 'isPressed', instead: 'overMemoryLimit', where: 'everywhere' },
  { word: 'regulate', instead: 'updateBackpressure', where: 'everywhere' },
  { word: '(?:un)?bury', instead: 'put, delete tombstone', where: 'names' },
  { word: 'letGo', instead: 'release, evict', where: 'names' },
  { word: 'compactor', instead: 'tombstone GC', where: 'everywhere' },
  { word: 'keptOut', instead: 'rejected', where: 'everywhere' },
  { word: 'nextTurn', instead: 'nextTick', where: 'names' },
  { word: 'hear[ds]?', instead: 'onCommit, notify, report', where: 'names' },
  { word: 'tells?', instead: 'notify, report', where: 'names' },
  { word: 'told', instead: 'notify, report', where: 'names' },
  { word: 'book', instead: 'registry', where: 'names' },
  { word: 'unsure', instead: 'unsupported', where: 'names' },
  { word: 'paces?', instead: 'write stall', where: 'names' },
  { word: 'spares?', instead: 'recycled', where: 'names' },
  { word: 'seal(?:ed|s)?', instead: 'rotate', where: 'names' },
  { word: 'gather(?:ed|s)?', instead: 'buffer, batch', where: 'names' },
  { word: 'spend', instead: 'budget', where: 'names' },
  { word: 'observed', instead: 'instrumented', where: 'names' },
  { word: 'shapes', instead: 'serializers', where: 'names' },
  { word: 'answers?', instead: 'response', where: 'names' },
  { word: 'answered', instead: 'responded', where: 'names' },
  { word: 'standing', instead: 'existing version', where: 'names' },
  { word: 'isOver', instead: 'isExpired, hasEnded', where: 'names' },
  { word: 'living', instead: 'unexpired, live', where: 'names' },
  { word: 'likely', instead: 'candidate', where: 'names' },
  { word: 'applier', instead: 'flusher', where: 'names' },
  { word: 'places?', instead: 'offset, slot, position', where: 'names' },
  { word: 'distribution', instead: 'histogram', where: 'names' },
  { word: 'lookAgain', instead: 'refresh', where: 'names' },
  { word: 'beat', instead: 'heartbeat, onTick', where: 'names' },
  { word: 'onOver', instead: 'onEnd', where: 'names' },
  { word: 'told', instead: 'reported, notified', where: 'titles' },
  { word: 'tells?', instead: 'report, notify', where: 'titles' },
  { word: 'hear[ds]?', instead: 'get, notified', where: 'titles' },
  { word: 'answer(?:s|ed)?', instead: 'response, respond, return, result', where: 'titles' },
]

/**
 * Returns a pattern that matches the word in any case that a name or sentence gives it, but not within another word.
 */
export function patternOf({ word }: GoneWord): RegExp {
  const capital = word.charAt(0).toUpperCase() + word.slice(1)
  return new RegExp(`(?<![A-Za-z])(?:${word}|${capital})(?![a-z])|(?<=[a-z0-9])(?:${capital})(?![a-z])`)
}
