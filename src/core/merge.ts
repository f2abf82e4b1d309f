import { KvistError } from './errors.ts'
import { rawMembers } from './json.ts'

/**
 * Objects put together as text, so that what is not touched is kept as it was sent: numbers of twenty digits, `1.0`,
 * names such as `__proto__`, which are names like any other here. As in json.ts, texts must be ones that `JSON.parse`
 * has accepted.
 */

/** Patches nested deeper than this are refused: each level is a call, and looks through the text below it again. */
const maxPatchDepth = 100

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
 * is nested too deep.
 */
export function mergePatch(target: string | undefined, patch: string): string {
  return mergeAt(target, patch, 0)
}

function mergeAt(target: string | undefined, patch: string, depth: number): string {
  if (!isObjectText(patch)) return patch
  if (depth === maxPatchDepth) {
    throw new KvistError('unprocessable', `a patch may be nested ${maxPatchDepth} levels at most`, {
      limit: maxPatchDepth,
    })
  }
  const members =
    target !== undefined && isObjectText(target) ? rawMembers(target) : new Map<string, string>()
  for (const [name, value] of rawMembers(patch)) {
    if (value === 'null') members.delete(name)
    else members.set(name, mergeAt(members.get(name), value, depth + 1))
  }
  return objectText(members)
}
