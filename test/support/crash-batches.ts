import type { Write } from '../../src/core/engine.ts'
import { put, remove } from './engine-writes.ts'
import { random } from './random.ts'

/** The batches of the crash test: both sides know what is in one from its name alone. */
export interface BatchName {
  readonly life: number
  readonly writer: number
  readonly number: number
}

/** Writers touch only their own members, so that the order of two writers' batches does not matter. */
export const writers = 6
const keysOfWriter = 40

/**
 * The writes of a batch, 1 to 20: puts that carry its name, deletes, and last a member of its own that no other batch
 * touches, so that a batch which is there can be distinguished from one that is not.
 */
export function batchOf({ life, writer, number }: BatchName): Write[] {
  const r = random((life * 1000 + writer) * 100_000 + number)
  const shared = new Map<string, Write>()
  for (let i = r.int(20); i > 0; i--) {
    const key = `w${writer}-${r.int(keysOfWriter)}`
    if (r.oneIn(5)) shared.set(key, remove(key))
    else shared.set(key, put(key, JSON.stringify({ life, number, filling: 'x'.repeat(r.int(400)) })))
  }
  return [...shared.values(), put(markOf({ life, writer, number }), '1')]
}

/** The key of the member that is a batch's own. */
export function markOf({ life, writer, number }: BatchName): string {
  return `mark ${life} ${writer} ${number}`
}

/** The expiry that a batch's own member is renewed to, once the batch is acknowledged. */
export function renewedUntil({ life, number }: BatchName): number {
  return 1e13 + life * 100_000 + number
}
