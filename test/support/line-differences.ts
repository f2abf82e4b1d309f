import { parseVector, vectorText } from '../../src/engines/redis/cursors.ts'

/**
 * What a store with several lines does not promise and one with a single line does (docs/cluster.md, "What differs with several lines").
 * Suites that run on both ask for what each promises, by these names alone.
 */
export const lineDifferences = {
  batch: 'a batch, with the members that it checks, is on one line: their names share a tag',
  order: 'changes of one line are reported in their order, those of several in any',
  cursor: 'a resume point is no revision',
} as const

/** How many lines the store of this run has. */
export const lineCount = Number(/--redis-lines (\d+)/.exec(process.env.KVIST_TEST_REDIS ?? '')?.[1] ?? 1)

/** Returns whether the store of this run differs in this way. */
export function differsBy(_difference: keyof typeof lineDifferences): boolean {
  return lineCount > 1
}

/** Returns the name, or the beginning of names, of collections whose members share a line, and so can share a batch. */
export function together(name: string): string {
  return `{${name}}`
}

/** Returns a resume point that a store which is older than it was does not reach. */
export function cursorAhead(cursor: string): string {
  return vectorText(parseVector(cursor, lineCount).map((one) => ({ ...one, revision: one.revision + 1000 })))
}

/** What changes are in order of: all of the store, or those of a member. */
export function orderOf({ collection, key }: { readonly collection: string; readonly key: string }): string {
  return differsBy('order') ? `${collection}/${key}` : 'all'
}
