import type { StoredJson } from '../../../core/member-visitor.ts'
import {
  type Chunk,
  recordClock,
  recordCollectionBytes,
  recordContentTypeBytes,
  recordCreatedAtMs,
  recordExpiresAtMs,
  recordFlags,
  recordIsText,
  recordKind,
  recordRevision,
  recordTexts,
} from './record.ts'

/** Longer values are members, as those are whose rows have overflow pages. */
const maxValueBytes = 2000

/** A record that is visited where it lies, in the memory of its segment. */
export class RecordRow implements StoredJson {
  bytes: Buffer = Buffer.alloc(0)
  keyAt = 0
  keyEnd = 0
  valueAt = 0
  valueEnd = 0
  private chunk: Chunk = { bytes: this.bytes, view: new DataView(this.bytes.buffer, 0, 0) }
  private at = 0
  private readonly texts = { start: 0, namesEnd: 0, valueStart: 0, end: 0 }

  /** Moves to a record; false for one that is not as `StoredJson` says. */
  load(chunk: Chunk, at: number): boolean {
    if (recordKind(chunk, at) !== 'put' || !recordIsText(chunk, at)) return false
    if (recordContentTypeBytes(chunk, at) > 0 || recordExpiresAtMs(chunk, at) !== null) return false
    const { start, namesEnd, valueStart, end } = recordTexts(chunk, at, this.texts)
    if (end - valueStart > maxValueBytes) return false
    this.chunk = chunk
    this.at = at
    this.bytes = chunk.bytes
    this.keyAt = start + recordCollectionBytes(chunk, at)
    this.keyEnd = namesEnd
    this.valueAt = valueStart
    this.valueEnd = end
    return true
  }

  get revision(): number {
    return recordRevision(this.chunk, this.at)
  }

  get createdAtMs(): number {
    return recordCreatedAtMs(this.chunk, this.at)
  }

  get clock(): number {
    return recordClock(this.chunk, this.at)
  }

  get flags(): number {
    return recordFlags(this.chunk, this.at)
  }
}
