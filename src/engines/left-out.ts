import type { Renew, Write, Written } from '../core/engine.ts'

/**
 * Whether a write follows one that was not done (`ifDone` in core/engine.ts). `written` are the outcomes of those before it;
 * `knownRevision` is the last revision before the commit.
 */
export function isLeftOut(write: Write | Renew, written: readonly Written[], knownRevision: number): boolean {
  return (
    write.op !== 'renew' && write.ifDone !== undefined && written[write.ifDone]!.revision <= knownRevision
  )
}
