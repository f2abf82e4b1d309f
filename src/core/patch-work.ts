import { KvistError } from './errors.ts'
import { maxPatchWorkChars } from './limits.ts'

/** Takes note of text that is looked through, or written, and of the parts that it falls into. */
export type Spend = (chars: number, parts?: number) => void

/** What a part costs beside its characters. */
const charsPerPart = 8

/**
 * Bounds what one patch may do: all of it happens at once, and others wait for it. Throws `unprocessable` when that is
 * more than it may be.
 */
export function boundedWork(): Spend {
  let left = maxPatchWorkChars
  return (chars, parts = 0) => {
    left -= chars + parts * charsPerPart
    if (left >= 0) return
    throw new KvistError('unprocessable', 'the patch is too much work for a value of this size', {
      limit_characters: maxPatchWorkChars,
    })
  }
}
