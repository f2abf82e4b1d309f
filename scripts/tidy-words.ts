/**
 * Words that this code had of its own and that gave way to the field's. `bun scripts/tidy.ts` refuses them, so that none comes
 * back. Add a row with the commit that takes the last use of a word away.
 */
export interface GoneWord {
  /**
   * The word in lower case, as a pattern where it has several forms: `foresee[ns]?`. It is found as a word of its own and as
   * a part of a name, as in `foreseen`, `isForeseen` and `foreseeAll`.
   */
  readonly word: string
  readonly instead: string
  /** Names alone, for what is good English in a sentence; or comments, messages and docs too. */
  readonly where: 'names' | 'everywhere'
}

export const goneWords: readonly GoneWord[] = [
  { word: 'foresee[ns]?', instead: 'prefetch, batched read', where: 'everywhere' },
]

/** Matches the word in whatever case a name or sentence gives it, but not as a part of another word. */
export function patternOf({ word }: GoneWord): RegExp {
  const capital = word.charAt(0).toUpperCase() + word.slice(1)
  return new RegExp(`(?<![A-Za-z])(?:${word}|${capital})(?![a-z])|(?<=[a-z0-9])(?:${capital})(?![a-z])`)
}
