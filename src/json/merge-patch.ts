import { JsonError } from './errors.ts'
import { isObjectText, objectText } from './object.ts'
import { type Charge, type PatchLimits, workBudget } from './patch-limits.ts'
import { rawMembers } from './scan.ts'

/**
 * Applies a JSON merge patch (RFC 7396) and returns the new text. `target` is undefined if there is no value yet.
 * Throws `unprocessable` for a patch that exceeds the limit of nesting or of work.
 */
export function mergePatch(target: string | undefined, patch: string, limits: PatchLimits): string {
  return mergeAt(target, patch, 0, limits.maxDepth, workBudget(limits))
}

function mergeAt(
  target: string | undefined,
  patch: string,
  depth: number,
  maxDepth: number,
  charge: Charge,
): string {
  if (!isObjectText(patch)) return patch
  if (depth === maxDepth) {
    throw new JsonError('unprocessable', `a patch may be nested ${maxDepth} levels at most`, {
      limit: maxDepth,
    })
  }
  charge(patch.length + (target?.length ?? 0))
  const changes = rawMembers(patch)
  const members =
    target !== undefined && isObjectText(target) ? rawMembers(target) : new Map<string, string>()
  charge(0, changes.size + members.size)
  for (const [name, value] of changes) {
    if (value === 'null') members.delete(name)
    else members.set(name, mergeAt(members.get(name), value, depth + 1, maxDepth, charge))
  }
  return objectText(members)
}
