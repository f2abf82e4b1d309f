import type { SourceValue } from '../entry.ts'
import { plainValue } from '../entry.ts'
import {
  hashValue,
  listValue,
  type RedisValue,
  type StreamEntry,
  setValue,
  sortedSetValue,
  streamValue,
} from '../redis/values.ts'
import { inPairs, intsetElements, listpackElements, ziplistElements } from './packed.ts'
import type { RdbReader } from './reader.ts'

/** Reads the objects of an RDB file, by their types. */

export interface RdbObject {
  readonly value: RedisValue
  /** What of the object has no counterpart in kvist. */
  readonly lost?: string
}

/** Reads what follows the key; it must read all of it, also of what is not taken. */
type ObjectReader = (reader: RdbReader, json: boolean, nowMs: number) => RdbObject

const of = (value: RedisValue): RdbObject => ({ value })

export const objectReaders = new Map<number, ObjectReader>([
  [0, (reader, json) => of(plainValue(reader.string(), json))],
  [1, (reader) => of(listValue(strings(reader, reader.length())))],
  [2, (reader) => of(setValue(strings(reader, reader.length())))],
  [3, (reader) => of(sortedSet(reader, textScore))],
  [4, (reader) => of(hashValue(inPairs(strings(reader, 2 * reader.length()))))],
  [5, (reader) => of(sortedSet(reader, binaryScore))],
  [7, (reader) => moduleValue(reader)],
  [9, (reader) => unsupported(reader, 'it is a hash in the form of Redis before 2.6')],
  [10, (reader) => of(listValue(ziplistElements(reader.string())))],
  [11, (reader) => of(setValue(intsetElements(reader.string())))],
  [12, (reader) => of(packedSortedSet(ziplistElements(reader.string())))],
  [13, (reader) => of(hashValue(inPairs(ziplistElements(reader.string()))))],
  [14, (reader) => of(listValue(quicklist(reader)))],
  [15, (reader) => stream(reader, 1)],
  [16, (reader) => of(hashValue(inPairs(listpackElements(reader.string()))))],
  [17, (reader) => of(packedSortedSet(listpackElements(reader.string())))],
  [18, (reader) => of(listValue(quicklist2(reader)))],
  [19, (reader) => stream(reader, 2)],
  [20, (reader) => of(setValue(listpackElements(reader.string())))],
  [21, (reader) => stream(reader, 3)],
  [24, (reader, _json, nowMs) => hashOf(expiringFields(reader), nowMs)],
  [25, (reader, _json, nowMs) => hashOf(packedExpiringFields(reader), nowMs)],
])

function* strings(reader: RdbReader, count: number): Generator<Buffer> {
  for (let i = 0; i < count; i++) yield reader.string()
}

/** These are from the highest score down, packed ones from the lowest up. */
function sortedSet(reader: RdbReader, score: (reader: RdbReader) => string): SourceValue {
  const members = strings(reader, reader.length())
  return sortedSetValue(
    members.map((member) => [member, score(reader)] as const),
    true,
  )
}

function packedSortedSet(elements: Iterable<Buffer>): SourceValue {
  return sortedSetValue(inPairs(elements).map(([member, score]) => [member, score.toString()] as const))
}

function textScore(reader: RdbReader): string {
  const length = reader.byte()
  if (length === 254) return 'inf'
  if (length === 255) return '-inf'
  return length === 253 ? 'nan' : reader.bytes(length).toString('latin1')
}

function binaryScore(reader: RdbReader): string {
  const score = reader.bytes(8).readDoubleLE()
  if (Number.isFinite(score)) return String(score)
  return score > 0 ? 'inf' : '-inf'
}

function* quicklist(reader: RdbReader): Generator<Buffer> {
  for (const packed of strings(reader, reader.length())) yield* ziplistElements(packed)
}

const plainNode = 1

function* quicklist2(reader: RdbReader): Generator<Buffer> {
  for (let count = reader.length(); count > 0; count--) {
    const isPlain = reader.length() === plainNode
    const node = reader.string()
    if (isPlain) yield node
    else yield* listpackElements(node)
  }
}

/** A field of a hash, with the time at which it expires; 0 for never. */
type ExpiringField = readonly [name: Buffer, value: Buffer, expiresAtMs: number]

function* expiringFields(reader: RdbReader): Generator<ExpiringField> {
  const firstMs = reader.milliseconds()
  for (let count = reader.length(); count > 0; count--) {
    const after = reader.length()
    yield [reader.string(), reader.string(), after === 0 ? 0 : firstMs + after - 1]
  }
}

function* packedExpiringFields(reader: RdbReader): Generator<ExpiringField> {
  reader.milliseconds() // the first expiry, which the fields have too
  const elements = [...listpackElements(reader.string())]
  for (let i = 0; i + 2 < elements.length; i += 3)
    yield [elements[i]!, elements[i + 1]!, Number(elements[i + 2]!.toString())]
}

function hashOf(fields: Iterable<ExpiringField>, nowMs: number): RdbObject {
  const all = [...fields]
  const live = all.filter(([, , expiresAtMs]) => expiresAtMs === 0 || expiresAtMs > nowMs)
  const value = hashValue(live.map(([name, field]) => [name, field] as const))
  return live.some(([, , expiresAtMs]) => expiresAtMs !== 0)
    ? { value, lost: 'the expiry of its fields' }
    : { value }
}

function unsupported(reader: RdbReader, why: string): RdbObject {
  reader.string()
  return of({ unsupported: why })
}

function moduleValue(reader: RdbReader): RdbObject {
  reader.length() // the module
  skipModule(reader)
  return of({ unsupported: 'it is a value of a module' })
}

/** Reads what a module wrote, up to its end. */
export function skipModule(reader: RdbReader): void {
  for (;;) {
    const code = reader.length()
    if (code === 0) return
    if (code === 1 || code === 2) reader.length()
    else if (code === 3) reader.bytes(4)
    else if (code === 4) reader.bytes(8)
    else if (code === 5) reader.string()
    else reader.fail('a value of a module is damaged')
  }
}

function stream(reader: RdbReader, version: 1 | 2 | 3): RdbObject {
  const value = streamValue(streamEntries(reader))
  reader.length() // the number of entries
  // The last id; since version 2 also the first, the highest that was deleted, and how many there ever were.
  for (let i = 0; i < (version === 1 ? 2 : 7); i++) reader.length()
  const groups = reader.length()
  for (let i = 0; i < groups; i++) skipGroup(reader, version)
  return groups === 0 ? { value } : { value, lost: 'its consumer groups' }
}

const idBytes = 16

function* streamEntries(reader: RdbReader): Generator<StreamEntry> {
  for (let count = reader.length(); count > 0; count--) {
    const base = reader.string()
    if (base.length !== idBytes) reader.fail('a stream is damaged')
    yield* entriesOfNode(base.readBigUInt64BE(0), base.readBigUInt64BE(8), reader.string())
  }
}

const entryFlags = { deleted: 1, sameFields: 2 } as const

/** A listpack of entries. The first elements name the fields that most entries have. */
function* entriesOfNode(baseMs: bigint, baseSequence: bigint, packed: Buffer): Generator<StreamEntry> {
  const elements = listpackElements(packed)
  const next = () => {
    const { value, done } = elements.next()
    if (done) throw new RangeError('the entries of a stream are fewer than it says')
    return value
  }
  const number = () => Number(next().toString())
  let left = number() + number()
  const usual = Array.from({ length: number() }, next)
  next() // the end of the first elements
  for (; left > 0; left--) {
    const flags = number()
    const ms = baseMs + BigInt(next().toString())
    const sequence = baseSequence + BigInt(next().toString())
    const fields =
      flags & entryFlags.sameFields
        ? usual.flatMap((name) => [name, next()])
        : Array.from({ length: 2 * number() }, next)
    next() // the number of elements, for reading backwards
    if (!(flags & entryFlags.deleted)) yield { id: `${ms}-${sequence}`, fields }
  }
}

function skipGroup(reader: RdbReader, version: 1 | 2 | 3): void {
  reader.string() // its name
  for (let i = 0; i < (version === 1 ? 2 : 3); i++) reader.length() // its last id, and how many it read
  for (let pending = reader.length(); pending > 0; pending--) {
    reader.bytes(idBytes + 8)
    reader.length()
  }
  for (let consumers = reader.length(); consumers > 0; consumers--) {
    reader.string()
    reader.bytes(version === 3 ? 16 : 8) // when it was seen, and when it was active
    for (let pending = reader.length(); pending > 0; pending--) reader.bytes(idBytes)
  }
}
