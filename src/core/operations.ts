import type { Content } from './database.ts'
import type { MemberRef, Write } from './engine.ts'
import { failingAt } from './errors.ts'
import { patched } from './patch.ts'

/** What a batch can do to a member. */
export type Operation =
  | (Content & MemberRef & { readonly op: 'put' })
  | (MemberRef & { readonly op: 'delete' })
  | (MemberRef & { readonly op: 'increment'; readonly path: string; readonly by: number })

/** The write that an operation comes to, where `current` is what an increment counts on from. */
export function toWrite(operation: Operation, current: Content | null): Write {
  const { collection, key } = operation
  if (operation.op === 'delete') return { op: 'delete', collection, key, cause: 'delete' }
  const { value, contentType, flags, expiresAtMs } =
    operation.op === 'put' ? operation : incremented(operation, current)
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}

/** A batch is of many members: what fails says of which. */
function incremented(
  { collection, key, path, by }: MemberRef & { readonly path: string; readonly by: number },
  current: Content | null,
): Content {
  const where = { collection, key }
  return failingAt(`${collection}/${key}`, where, () => patched(current, { kind: 'increment', path, by }))
}
