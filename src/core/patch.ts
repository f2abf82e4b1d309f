import { JsonError } from '../json/errors.ts'
import { incrementAt } from '../json/increment.ts'
import { mergePatch } from '../json/merge-patch.ts'
import { applyJsonPatch, type PatchOperation, parseJsonPatch } from '../json/patch.ts'
import type { PatchLimits } from '../json/patch-limits.ts'
import type { AskedExpiry, Content, NewContent } from './content.ts'
import { KvistError } from './errors.ts'
import { maxPatchDepth, maxPatchOperations, maxPatchWorkChars, maxValueBytes } from './limits.ts'
import { jsonContentType } from './member.ts'

/** A change of a value, as data: it is applied again whenever another write to the member comes in between. */
export type Patch =
  /** A JSON merge patch (RFC 7396); `JSON.parse` must have accepted the text. */
  | { readonly kind: 'merge'; readonly text: string }
  /** A JSON patch (RFC 6902): all operations or none. */
  | { readonly kind: 'operations'; readonly operations: readonly PatchOperation[] }
  /**
   * Adds `by` to the number at `path`, a JSON pointer that is empty for the value itself. A missing member is created
   * with the expiry of `ifCreated`.
   */
  | {
      readonly kind: 'increment'
      readonly path: string
      readonly by: number
      readonly ifCreated?: { readonly expiresAtMs: AskedExpiry } | undefined
    }

/**
 * Returns the content of a member after a patch; everything but the value stays. If there is no member, merge patches
 * and increments create it. Throws `not_found` for a JSON patch without a member; `unprocessable` if the value is not
 * JSON or the patch cannot be applied to it; `conflict` for a failed test of a JSON patch; `too_large`.
 */
export function patched(current: Content | null, patch: Patch): NewContent {
  const before = current?.value
  if (before instanceof Uint8Array) throw new KvistError('unprocessable', 'the value is not JSON')
  const value = patchedText(before, patch)
  if (value.length * 3 > maxValueBytes && Buffer.byteLength(value) > maxValueBytes) {
    throw new KvistError('too_large', `the value would have more than ${maxValueBytes} bytes`, {
      limit_bytes: maxValueBytes,
    })
  }
  if (current === null) return { ...newJson, value, expiresAtMs: firstExpiry(patch) }
  const { contentType, flags, expiresAtMs } = current
  return { value, contentType, flags, expiresAtMs }
}

function firstExpiry(patch: Patch): AskedExpiry {
  return patch.kind === 'increment' ? (patch.ifCreated?.expiresAtMs ?? null) : null
}

function patchedText(before: string | undefined, patch: Patch): string {
  if (patch.kind === 'merge') return merged(before, patch.text)
  if (patch.kind === 'increment') return asKvist(() => incrementAt(before, patch.path, patch.by).text)
  if (before === undefined) throw new KvistError('not_found', 'there is no member to be patched')
  return asKvist(() => applyJsonPatch(before, patch.operations, patchLimits))
}

/** Applies a merge patch to a value, undefined if there is none yet, and returns the result. Throws `unprocessable`. */
export function merged(before: string | undefined, patch: string): string {
  return asKvist(() => mergePatch(before, patch, patchLimits))
}

/** Returns the operations of a JSON patch. Throws as `parseJsonPatch` does. */
export function parsePatchOperations(text: string): PatchOperation[] {
  return asKvist(() => parseJsonPatch(text, patchLimits))
}

export const patchLimits: PatchLimits = {
  maxDepth: maxPatchDepth,
  maxOperations: maxPatchOperations,
  maxWorkChars: maxPatchWorkChars,
  maxValueChars: maxValueBytes,
}

/** Runs `work` and turns a JsonError into a KvistError. */
function asKvist<Result>(work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw new KvistError(error.code, error.message, error.extra)
  }
}

const newJson = { contentType: jsonContentType, flags: 0 }
