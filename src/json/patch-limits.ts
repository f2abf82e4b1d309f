import { JsonError } from './errors.ts'

/** What one patch may be and do: all of it happens at once, and others wait for it. */
export interface PatchLimits {
  /** How deep a merge patch may be nested, and what a JSON patch tests: each level is a call. */
  readonly maxDepth: number
  readonly maxOperations: number
  /** Text that may be read and written, at every level again. */
  readonly maxWorkChars: number
  /** Of what a JSON patch makes. */
  readonly maxValueChars: number
}

/** Takes text that is read or written, and the parts that it falls into, from what a patch may do. */
export type Charge = (chars: number, parts?: number) => void

/** What a part costs beside its characters. */
const charsPerPart = 8

/** A budget for one patch; going beyond it throws `unprocessable`. */
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
