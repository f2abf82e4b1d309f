import { rawMembers } from './scan.ts'

/**
 * Builds objects as text, so that untouched parts stay as they were sent: numbers of twenty digits, `1.0`, and names
 * such as `__proto__`, which are ordinary names here. As in scan.ts, `JSON.parse` must have accepted every text.
 */

export function isObjectText(text: string): boolean {
  return /^\s*\{/.test(text)
}

/** Returns the text of an object with these members, in their order; the values are JSON text. */
export function objectText(members: ReadonlyMap<string, string>): string {
  return `{${Array.from(members, ([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`
}

/** Returns the object with some members set, each to the JSON text of its value; new members come last. */
export function withMembers(text: string, set: Iterable<readonly [name: string, value: string]>): string {
  const members = rawMembers(text)
  for (const [name, value] of set) members.set(name, value)
  return objectText(members)
}
