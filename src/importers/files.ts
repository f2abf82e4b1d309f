import { createReadStream, type ReadStream, statSync } from 'node:fs'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { SourceError } from './entry.ts'

/** A file, or standard input, to be read from its beginning. */
export interface FileInput {
  readonly name: string
  readonly identity: string | null
  readonly totalBytes: number | null
  open(): OpenFile
}

export interface OpenFile {
  readonly blocks: AsyncIterable<Buffer>
  /** Returns how much of `totalBytes` was read. */
  bytesRead(): number
}

/** Returns a file, unpacked if its name ends with `.gz`; `-` is standard input. */
export function fileInput(path: string): FileInput {
  if (path === '-') {
    const open = () => ({ blocks: process.stdin, bytesRead: () => 0 })
    return { name: 'standard input', identity: null, totalBytes: null, open }
  }
  const stats = statSync(path)
  const isFile = stats.isFile()
  return {
    name: path,
    identity: isFile ? identityOf(stats) : null,
    totalBytes: isFile ? stats.size : null,
    open() {
      const input = createReadStream(path, { highWaterMark: 256 * 1024 })
      const blocks = path.endsWith('.gz') ? unpacked(input, path) : input
      return { blocks, bytesRead: () => input.bytesRead }
    },
  }
}

async function* unpacked(input: ReadStream, path: string): AsyncGenerator<Buffer> {
  try {
    yield* pipeline(input, createGunzip(), () => {}) // a failure is thrown here
  } catch (error) {
    const { code, message }: { code?: unknown; message?: unknown } = Object(error)
    if (!String(code).startsWith('Z_')) throw error
    throw new SourceError(`${path} is no gzip file, or only a part of one: ${message}`)
  }
}

export function identityOf({ size, mtimeMs }: { readonly size: number; readonly mtimeMs: number }): string {
  return `${size} bytes of ${mtimeMs}`
}
