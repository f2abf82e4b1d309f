import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jsonContentType, type Member } from '../core/member.ts'
import { formatTime } from '../core/time.ts'
import { openFolder } from './offline.ts'

/** One collection of a backup, as an import takes it. */
export interface CollectionOfBackup {
  /** The number of members, those that have expired since included. */
  readonly members: number
  /** Its settings as JSON; null for none. */
  readonly settings: string | null
  /** Lines for an import, in blocks of some MiB; those of members that have expired are left out. */
  blocks(nowMs: number): AsyncGenerator<LineBlock>
}

export interface LineBlock {
  readonly lines: string
  readonly members: number
  readonly expired: number
}

/** The size from which a block is yielded, and the most members of a page of a scan. */
const blockChars = 4 * 1024 * 1024
const pageMembers = 1000

/**
 * Has a store restored into a folder of the system's temporary ones, where `work` reads the collection; it gets null if the
 * store has no such collection. Rejects as `restore` does.
 */
export async function withCollection<Result>(
  restore: (folder: string) => Promise<unknown>,
  name: string,
  work: (collection: CollectionOfBackup | null) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'kvist-restore-'))
  try {
    await restore(folder)
    const engine = await openFolder(folder)
    try {
      const counts = (await engine.collections()).find((one) => one.name === name)
      const settings = await engine.read('_settings', name)
      const found = counts !== undefined || settings !== null
      const blocks = (nowMs: number) => blocksOf(engine, name, nowMs)
      const value = settings === null ? null : String(settings.value)
      return await work(found ? { members: counts?.members ?? 0, settings: value, blocks } : null)
    } finally {
      await engine.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

type Scanned = Pick<Awaited<ReturnType<typeof openFolder>>, 'scan'>

async function* blocksOf(engine: Scanned, collection: string, nowMs: number): AsyncGenerator<LineBlock> {
  let block = { lines: '', members: 0, expired: 0 }
  let from: string | null = null
  do {
    const range = { collection, from, to: null, order: 'asc', limit: pageMembers, keysOnly: false } as const
    const page = await engine.scan({ ...range, maxBytes: 16 * blockChars })
    for (const member of page.members) {
      if (member.expiresAtMs !== null && member.expiresAtMs <= nowMs) block.expired++
      else {
        block.lines += `${lineOf(member)}\n`
        block.members++
      }
      if (block.lines.length < blockChars) continue
      yield block
      block = { lines: '', members: 0, expired: 0 }
    }
    from = page.next
  } while (from !== null)
  yield block
}

/** Returns the member as a line of an import. Line breaks in JSON become spaces, as in an export. */
function lineOf({ key, value, contentType, flags, expiresAtMs }: Member): string {
  const content =
    typeof value === 'string' && contentType === jsonContentType
      ? `"value":${value.replace(/[\r\n]/g, ' ')}`
      : `"content_type":${JSON.stringify(contentType)},"value_base64":${JSON.stringify(Buffer.from(value).toString('base64'))}`
  const expiry = expiresAtMs === null ? 'null' : JSON.stringify(formatTime(expiresAtMs))
  const extra = flags === 0 ? '' : `,"flags":${flags}`
  return `{"key":${JSON.stringify(key)},${content}${extra},"expire_at":${expiry}}`
}
