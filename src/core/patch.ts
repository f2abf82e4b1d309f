import { JsonError } from '../json/errors.ts'
import { incrementAt } from '../json/increment.ts'
import { mergePatch } from '../json/merge-patch.ts'
import { applyJsonPatch, type PatchOperation, parseJsonPatch } from '../json/patch.ts'
import type { PatchLimits } from '../json/patch-limits.ts'
import type { AskedExpiry, Content, NewContent } from './content.ts'
import { KvistError } from './errors.ts'
import { maxPatchDepth, maxPatchOperations, maxPatchWorkChars, maxValueBytes } from './limits.ts'
import { jsonContentType } from './member.ts'

/** What is to change in a value, as data: it may have to be done several times, if others write in between. */
export type Patch =
  /** JSON merge patch (RFC 7396): text that `JSON.parse` has accepted. */
  | { readonly kind: 'merge'; readonly text: string }
  /** JSON patch (RFC 6902), all operations or none. */
  | { readonly kind: 'operations'; readonly operations: readonly PatchOperation[] }
  /**
   * What a number is to grow by; `path` is a JSON pointer to it, empty for the value itself. Where there is no member yet,
   * it is made with the expiry of `ifCreated`.
   */
  | {
      readonly kind: 'increment'
      readonly path: string
      readonly by: number
      readonly ifCreated?: { readonly expiresAtMs: AskedExpiry } | undefined
    }

/**
 * What a patch makes of a member; all but the value stays what it was. Merge patches and increments begin with nothing
 * where there is no member. Throws `not_found` for a JSON patch then; `unprocessable` where the value is not JSON, and
 * for what cannot be done to it; `conflict` for a test of a JSON patch that fails; `too_large`.
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

/** What a merge patch makes of a value, undefined where there is none yet. Throws `unprocessable`. */
export function merged(before: string | undefined, patch: string): string {
  return asKvist(() => mergePatch(before, patch, patchLimits))
}

/** The operations of a JSON patch. Throws as `parseJsonPatch` does. */
export function parsePatchOperations(text: string): PatchOperation[] {
  return asKvist(() => parseJsonPatch(text, patchLimits))
}

export const patchLimits: PatchLimits = {
  maxDepth: maxPatchDepth,
  maxOperations: maxPatchOperations,
  maxWorkChars: maxPatchWorkChars,
  maxValueChars: maxValueBytes,
}

/** Does some work on JSON; what is wrong with it becomes an error of the domain. */
function asKvist<Result>(work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw new KvistError(error.code, error.message, error.extra)
  }
}

const newJson = { contentType: jsonContentType, flags: 0 }
