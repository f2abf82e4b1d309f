import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { SourceError } from '../entry.ts'

/** A file that is read at offsets, so that memory does not grow with it. */
export class RandomFile {
  readonly path: string
  readonly bytes: number
  private readonly descriptor: number

  constructor(path: string) {
    this.path = path
    this.descriptor = openSync(path, 'r')
    this.bytes = fstatSync(this.descriptor).size
  }

  /** Throws a `SourceError` if the file ends before. */
  read(offset: number, length: number): Buffer {
    if (offset < 0 || length < 0 || offset + length > this.bytes) {
      throw new SourceError(`${this.path} is damaged: it refers to byte ${offset + length} of ${this.bytes}`)
    }
    const buffer = Buffer.allocUnsafe(length)
    if (readSync(this.descriptor, buffer, 0, length, offset) !== length)
      throw new SourceError(`${this.path} became shorter while it was read`)
    return buffer
  }

  /** Returns the first bytes, or all if there are fewer. */
  head(length: number): Buffer {
    return this.read(0, Math.min(length, this.bytes))
  }

  close(): void {
    closeSync(this.descriptor)
  }
}

/** A key and its value. */
export type DbmPair = readonly [key: Uint8Array, value: Uint8Array]
