import { rawMembers } from './scan.ts'

/**
 * Objects put together as text, so that what is not touched is kept as it was sent: numbers of twenty digits, `1.0`,
 * names such as `__proto__`, which are names like any other here. As in scan.ts, texts must be ones that `JSON.parse`
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
