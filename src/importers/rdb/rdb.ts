import { statSync } from 'node:fs'
import { countedBatches } from '../counted.ts'
import { keyText, rejectedBinaryKey, type SourceEntry, SourceError } from '../entry.ts'
import { identityOf } from '../files.ts'
import type { Importer, ImporterOptions } from '../importer.ts'
import { entryOf } from '../redis/read-keys.ts'
import { objectReaders, skipModule } from './objects.ts'
import { checkRdb, RdbReader } from './reader.ts'

/**
 * A file that Redis or Valkey saved (`dump.rdb`), up to the format of Redis 8. Its checksum is checked before anything is
 * stored. One database is taken.
 */
export const rdb: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: ['json', 'database', 'encodeKeys'],
  async open(path, options) {
    const stats = statSync(path)
    if (stats.isDirectory()) throw new SourceError(`${path} is a folder, not an RDB file`)
    checkRdb(path)
    const reader = new RdbReader(path)
    return {
      identity: identityOf(stats),
      total: reader.totalBytes,
      read: (cursor) => countedBatches(groupsOf(reader, options), cursor, () => reader.bytesRead),
      close: () => reader.close(),
    }
  },
}

const opcodes = {
  slotInfo: 244,
  functions: 245,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  sizes: 251,
  expiryMs: 252,
  expirySeconds: 253,
  database: 254,
  end: 255,
} as const

function* groupsOf(reader: RdbReader, options: ImporterOptions): Generator<SourceEntry[]> {
  const chosen = options.database ?? 0
  const others = new Map<number, number>()
  for (const [database, entry] of entriesOf(reader, options)) {
    if (database === chosen) yield [entry]
    else others.set(database, (others.get(database) ?? 0) + 1)
  }
  const shown = [...others].map(([database, keys]) => `${keys} in database ${database}`)
  if (shown.length > 0)
    options.note(
      `only database ${chosen} was read; there are keys in others: ${shown.join(', ')} (--database)`,
    )
}

type DatabaseEntry = readonly [database: number, entry: SourceEntry]

function* entriesOf(reader: RdbReader, options: ImporterOptions): Generator<DatabaseEntry> {
  reader.bytes(9) // REDIS and the version
  let database = 0
  let expiresAtMs: number | null = null
  for (;;) {
    const code = reader.byte()
    if (code === opcodes.end) return
    if (code === opcodes.database) database = reader.length()
    else if (code === opcodes.expiryMs) expiresAtMs = reader.milliseconds()
    else if (code === opcodes.expirySeconds) expiresAtMs = reader.bytes(4).readInt32LE() * 1000
    else if (code < opcodes.slotInfo) {
      yield [database, readEntry(reader, code, expiresAtMs, options)]
      expiresAtMs = null
    } else skipOpcode(reader, code)
  }
}

function skipOpcode(reader: RdbReader, code: number): void {
  switch (code) {
    case opcodes.slotInfo:
      for (let i = 0; i < 3; i++) reader.length()
      return
    case opcodes.functions:
      reader.string()
      return
    case opcodes.moduleAux:
      reader.length() // the module
      skipModule(reader)
      return
    case opcodes.idle:
      reader.length()
      return
    case opcodes.frequency:
      reader.byte()
      return
    case opcodes.aux:
      reader.string()
      reader.string()
      return
    case opcodes.sizes:
      reader.length()
      reader.length()
      return
    default:
      reader.fail(`there is an unknown code ${code}`)
  }
}

function readEntry(
  reader: RdbReader,
  type: number,
  expiresAtMs: number | null,
  { encodeKeys, json, now }: ImporterOptions,
): SourceEntry {
  const keyBytes = reader.string()
  const read = objectReaders.get(type)
  if (read === undefined) reader.fail(`there is an unknown type ${type}`)
  const { value, lost } = readObject(reader, () => read(reader, json, now()))
  const key = keyText(keyBytes, encodeKeys)
  if (key === null) return rejectedBinaryKey(keyBytes)
  const entry = entryOf(key, value, expiresAtMs)
  return lost === undefined || 'code' in entry ? entry : { ...entry, lost }
}

/** Runs a reader of packed forms, which throw a `RangeError` if they are damaged. */
function readObject<T>(reader: RdbReader, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) reader.fail('a value is damaged')
    throw error
  }
}
