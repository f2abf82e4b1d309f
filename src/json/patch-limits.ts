import { JsonError } from './errors.ts'

/** The limits of one patch: it is applied in one go, and other requests wait for it. */
export interface PatchLimits {
  /** Nesting of a merge patch, and of a value that a JSON patch tests: each level is a recursive call. */
  readonly maxDepth: number
  readonly maxOperations: number
  /** Characters that may be read and written, counted again at every level. */
  readonly maxWorkChars: number
  /** The length of the result of a JSON patch. */
  readonly maxValueChars: number
}

/** Deducts characters that are read or written, and the parts that they are split into, from the budget. */
export type Charge = (chars: number, parts?: number) => void

/** The cost of a part beside its characters. */
const charsPerPart = 8

/** Returns the budget of one patch. A charge beyond it throws `unprocessable`. */
export function workBudget({ maxWorkChars }: PatchLimits): Charge {
  let leftChars = maxWorkChars
  return (chars, parts = 0) => {
    leftChars -= chars + parts * charsPerPart
    if (leftChars >= 0) return
    throw new JsonError('unprocessable', 'the patch is too much work for a value of this size', {
      limit_characters: maxWorkChars,
    })
  }
}
