import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { syncPath, writeFully } from '../wal/log-files.ts'
import { ArchiveError, type PartInfo, parsePartHeader, partBytes, partHeaderBytes } from './part.ts'

/**
 * The folder of an archive. It holds `archive.json` (whose archive it is), `log-REVISION.kvlog` (parts of the log, by the
 * revision of the first record), `head.json` (how far the archive is known to be complete) and base backups.
 *
 * A file of parts appears under its name with a whole part in it. Later parts are appended; one that a crash or a full
 * disk left incomplete ends the file, and the next part begins another file.
 */
const markName = 'archive.json'
const headName = 'head.json'
const partsForm = /^log-(\d{16})\.kvlog$/

/** Creates the folder if it is missing, and notes whose archive it is. Throws ArchiveError for that of another store. */
export function openArchiveFolder(dir: string, storeId: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  if (existsSync(join(dir, markName))) {
    if (archiveStoreId(dir) === storeId) return
    throw new ArchiveError(`${dir} is the archive of another store: name another folder`)
  }
  if (listPartFiles(dir).length > 0) {
    throw new ArchiveError(`${join(dir, markName)} is missing: put it back, or name another folder`)
  }
  replaceFile(dir, markName, `${JSON.stringify({ kvist: 'archive', format: 1, store: storeId })}\n`)
}

/** The identity of the store that an archive is of. Throws ArchiveError where the folder is not an archive. */
export function archiveStoreId(dir: string): string {
  const path = join(dir, markName)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    throw new ArchiveError(`${dir} is not an archive: it has no ${markName}`)
  }
  try {
    const { kvist, store } = JSON.parse(text)
    if (kvist === 'archive' && typeof store === 'string' && store.length === 16) return store
  } catch {
    // Reported below.
  }
  throw new ArchiveError(`${path} is damaged`)
}

/** Up to when an archive is known to be complete: nothing was committed between its last part and then. */
export interface ArchiveHead {
  readonly revision: number
  readonly timeMs: number
}

export function writeHead(dir: string, head: ArchiveHead): void {
  replaceFile(dir, headName, `${JSON.stringify(head)}\n`)
}

/** The head of an archive; null where it is missing or cannot be read, which only makes the archive end earlier. */
export function readHead(dir: string): ArchiveHead | null {
  try {
    const { revision, timeMs } = JSON.parse(readFileSync(join(dir, headName), 'utf8'))
    return Number.isSafeInteger(revision) && Number.isFinite(timeMs) ? { revision, timeMs } : null
  } catch {
    return null
  }
}

function replaceFile(dir: string, name: string, text: string): void {
  const path = join(dir, name)
  const fd = openSync(`${path}.new`, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.new`, path)
  syncPath(dir)
}

/** A file of parts, by the revision that its name states. */
export interface PartFile {
  readonly path: string
  readonly firstRevision: number
}

/** The files of parts in the order of their revisions. */
export function listPartFiles(dir: string): PartFile[] {
  return readdirSync(dir)
    .flatMap((name) => {
      const match = partsForm.exec(name)
      return match === null ? [] : [{ path: join(dir, name), firstRevision: Number(match[1]) }]
    })
    .sort((a, b) => a.firstRevision - b.firstRevision)
}

export interface FoundParts {
  readonly parts: readonly PartInfo[]
  /** Offsets at which no part can be read although one must be there, or an unfinished one is. */
  readonly broken: readonly number[]
}

/** Finds the parts of a file by their headers. Throws ArchiveError for a part of another store or of a newer format. */
export function readPartHeaders(path: string, storeId: string | null): FoundParts {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const parts: PartInfo[] = []
    const broken: number[] = []
    for (let offset = 0; offset < size; ) {
      const info = parsePartHeader(readAt(fd, offset, partHeaderBytes), path, offset, storeId)
      if (info !== null && offset + partBytes(info) <= size) {
        parts.push(info)
        offset += partBytes(info)
        continue
      }
      broken.push(offset)
      offset = nextPart(fd, path, offset + 1, size, storeId) ?? size
    }
    return { parts, broken }
  } finally {
    closeSync(fd)
  }
}

/** The offset of the next whole header of a part behind a broken one; null for none. */
function nextPart(
  fd: number,
  path: string,
  from: number,
  size: number,
  storeId: string | null,
): number | null {
  const rest = readAt(fd, from, size - from)
  for (let found = rest.indexOf('kvistarc'); found >= 0; found = rest.indexOf('kvistarc', found + 1)) {
    const header = rest.subarray(found, found + partHeaderBytes)
    if (parsePartHeader(header, path, from + found, storeId) !== null) return from + found
  }
  return null
}

/** Reads up to `length` bytes of a file at an offset; fewer at its end. */
function readAt(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let done = 0
  while (done < length) {
    const read = readSync(fd, bytes, done, length - done, offset + done)
    if (read === 0) break
    done += read
  }
  return bytes.subarray(0, done)
}

/** Reads the bytes of a part, or with `headOnly` its header and key filter. */
export function readPartBytes(info: PartInfo, headOnly = false): Buffer {
  const fd = openSync(info.path, 'r')
  try {
    return readAt(fd, info.offset, headOnly ? partHeaderBytes + info.filterBytes : partBytes(info))
  } finally {
    closeSync(fd)
  }
}

/** Removes the files whose parts all end with this revision or before it, oldest first; returns how many. */
export function pruneParts(dir: string, revision: number): number {
  const files = listPartFiles(dir)
  // Parts continue each other: the next file says where this one ends at the latest.
  const old = files.filter(
    (_, i) => (files[i + 1]?.firstRevision ?? Number.POSITIVE_INFINITY) <= revision + 1,
  )
  for (const { path } of old) rmSync(path, { force: true })
  return old.length
}

/** A file that parts are appended to. */
export interface OpenPartFile {
  readonly path: string
  readonly bytes: number
}

/** Writes a part as the first of a new file, which appears once it is on disk. */
export function createPartFile(dir: string, firstRevision: number, part: Uint8Array): OpenPartFile {
  const path = join(dir, `log-${String(firstRevision).padStart(16, '0')}.kvlog`)
  replaceParts(path, part)
  return { path, bytes: part.length }
}

/** Replaces a file of parts. */
export function replaceParts(path: string, part: Uint8Array): void {
  const temporary = `${path}.new`
  try {
    const fd = openSync(temporary, 'w', 0o600)
    try {
      writeFully(fd, part, 0)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncPath(dirname(path))
}

/** Appends a part to a file. After a failure the file must not be appended to any more. */
export function appendPart(file: OpenPartFile, part: Uint8Array): OpenPartFile {
  const fd = openSync(file.path, 'r+')
  try {
    writeFully(fd, part, file.bytes)
    fsyncSync(fd)
    return { path: file.path, bytes: file.bytes + part.length }
  } catch (error) {
    cutBack(fd, file.bytes)
    throw error
  } finally {
    closeSync(fd)
  }
}

/** Takes an incomplete part off the end of a file, if the disk lets it. */
function cutBack(fd: number, bytes: number): void {
  try {
    ftruncateSync(fd, bytes)
  } catch {
    // Readers ignore an incomplete part.
  }
}

/** Removes temporary files that a crash left. */
export function removeTemporary(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (/^(log-\d{16}\.kvlog|archive\.json|head\.json)\.new$/.test(name))
      rmSync(join(dir, name), { force: true })
  }
}

/** Where an archive ends. */
export interface ArchiveEnd {
  readonly lastRevision: number
  readonly lastTimeMs: number
  /** The last file with a part in it, and the number of its parts. */
  readonly path: string
  readonly parts: number
}

/** Finds the end of an archive; null for an empty one. */
export function endOfArchive(dir: string, storeId: string): ArchiveEnd | null {
  for (const { path } of listPartFiles(dir).toReversed()) {
    const { parts } = readPartHeaders(path, storeId)
    const last = parts.at(-1)
    if (last === undefined) continue
    return { lastRevision: last.lastRevision, lastTimeMs: last.lastTimeMs, path, parts: parts.length }
  }
  return null
}
