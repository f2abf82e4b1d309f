import { closeSync, copyFileSync, existsSync, fdatasyncSync, fstatSync, openSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { segmentHeaderBytes } from './log.ts'
import { listSegments, type SegmentInfo, syncPath, writeFully } from './log-files.ts'
import type { Damage, TornTail } from './recovery.ts'

/**
 * Truncates the log where the damage begins. Nothing is destroyed: the rest is kept in files `damaged-…`, which no start
 * reads; so are the `useless` segments, whose presence would make the log look incomplete. Record the lost revisions in
 * the tables before the call. A process that dies during the call leaves the same damage, or a torn write instead.
 */
export function cutDamagedLog({ path, number, offset }: Damage, useless: readonly SegmentInfo[]): void {
  const dir = dirname(path)
  const isWholeFile = offset < segmentHeaderBytes
  if (!isWholeFile) copySafely(path, damagedPath(dir, number))
  for (const segment of useless) renameSync(segment.path, damagedPath(dir, segment.number))
  syncPath(dir)
  // The last segment first, so that the segments that are left are a prefix of the log at every moment.
  for (const segment of listSegments(dir).toReversed()) {
    if (segment.number < number || (segment.number === number && !isWholeFile)) continue
    renameSync(segment.path, damagedPath(dir, segment.number))
  }
  syncPath(dir)
  if (!isWholeFile) zeroFrom(path, offset)
}

/** Zeroes the log from the start of a torn write on, so that no later start reads whole frames behind it. */
export function cutTornTail({ path, offset }: TornTail): void {
  zeroFrom(path, offset)
}

function damagedPath(dir: string, number: number): string {
  const name = `damaged-${String(number).padStart(8, '0')}`
  for (let copy = 1; ; copy++) {
    const path = join(dir, copy === 1 ? name : `${name}-${copy}`)
    if (!existsSync(path)) return path
  }
}

function copySafely(from: string, to: string): void {
  copyFileSync(from, to)
  syncPath(to)
}

function zeroFrom(path: string, offset: number): void {
  const fd = openSync(path, 'r+')
  try {
    writeFully(fd, new Uint8Array(fstatSync(fd).size - offset), offset)
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
