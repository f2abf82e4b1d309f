import { KvistError } from './errors.ts'
import { rawMembers } from './json.ts'
import { maxPatchDepth } from './limits.ts'
import { boundedWork, type Spend } from './patch-work.ts'

/**
 * Objects put together as text, so that what is not touched is kept as it was sent: numbers of twenty digits, `1.0`,
 * names such as `__proto__`, which are names like any other here. As in json.ts, texts must be ones that `JSON.parse`
 * has accepted.
 */

export function isObjectText(text: string): boolean {
  return /^\s*\{/.test(text)
}

/** The object with these members, in their order; the values are JSON text. */
export function objectText(members: ReadonlyMap<string, string>): string {
  return `{${Array.from(members, ([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`
}

/** The object with some members set, each by the JSON text of its value; new ones come last. */
export function withMembers(text: string, set: Iterable<readonly [name: string, value: string]>): string {
  const members = rawMembers(text)
  for (const [name, value] of set) members.set(name, value)
  return objectText(members)
}

/**
 * JSON merge patch (RFC 7396). `target` is undefined where there is nothing yet. Throws `unprocessable` for a patch that
 * is nested too deep, or more work than a patch may be.
 */
export function mergePatch(target: string | undefined, patch: string): string {
  return mergeAt(target, patch, 0, boundedWork())
}

function mergeAt(target: string | undefined, patch: string, depth: number, spend: Spend): string {
  if (!isObjectText(patch)) return patch
  if (depth === maxPatchDepth) {
    throw new KvistError('unprocessable', `a patch may be nested ${maxPatchDepth} levels at most`, {
      limit: maxPatchDepth,
    })
  }
  spend(patch.length + (target?.length ?? 0))
  const changes = rawMembers(patch)
  const members =
    target !== undefined && isObjectText(target) ? rawMembers(target) : new Map<string, string>()
  spend(0, changes.size + members.size)
  for (const [name, value] of changes) {
    if (value === 'null') members.delete(name)
    else members.set(name, mergeAt(members.get(name), value, depth + 1, spend))
  }
  return objectText(members)
}
