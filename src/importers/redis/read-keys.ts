import { maxValueBytes } from '../../core/limits.ts'
import { ErrorReply, type Reply } from '../../engines/redis/resp.ts'
import {
  type FoundEntry,
  keyText,
  plainValue,
  type RejectedEntry,
  rejectedBinaryKey,
  type SourceEntry,
} from '../entry.ts'
import type { ImporterOptions } from '../importer.ts'
import type { SourceCommand, SourceConnection } from './connection.ts'
import { hashValue, listValue, type RedisValue, setValue, sortedSetValue, streamValue } from './values.ts'

/** Reads keys with their values, types and expiry, in groups whose values fit into memory. */

/** Bytes of memory, as the server counts them, that are read at once. */
const groupBytes = 8 * 1024 * 1024
/** What a key counts as if the server does not say. */
const unknownBytes = 64 * 1024
/** A key of more memory has no value that kvist can store: its elements are not read. */
const maxReadBytes = 6 * maxValueBytes

interface TypeReader {
  read(key: Uint8Array): SourceCommand
  value(reply: Reply, json: boolean): RedisValue
  /** A command whose reply is empty if the key has no such part, which kvist has no counterpart for. */
  readonly lost?: { readonly what: string; read(key: Uint8Array): SourceCommand }
}

const readers: Readonly<Record<string, TypeReader>> = {
  string: {
    read: (key) => ['GET', key],
    value: (reply, json) => plainValue(bytesOf(reply), json),
  },
  hash: { read: (key) => ['HGETALL', key], value: (reply) => hashValue(pairsOf(reply)) },
  list: { read: (key) => ['LRANGE', key, 0, -1], value: (reply) => listValue(elementsOf(reply)) },
  set: { read: (key) => ['SMEMBERS', key], value: (reply) => setValue(elementsOf(reply)) },
  zset: {
    read: (key) => ['ZRANGE', key, 0, -1, 'WITHSCORES'],
    value: (reply) =>
      sortedSetValue(
        pairsOf(reply).map(([member, score]) => [member, Buffer.from(score).toString()] as const),
      ),
  },
  stream: {
    read: (key) => ['XRANGE', key, '-', '+'],
    value: (reply) =>
      streamValue(
        arrayOf(reply).map((entry) => {
          const [id, fields] = arrayOf(entry)
          return { id: String(id), fields: elementsOf(fields) }
        }),
      ),
    lost: { what: 'its consumer groups', read: (key) => ['XINFO', 'GROUPS', key] },
  },
}

interface KeyInfo {
  readonly key: Uint8Array
  readonly text: string
  readonly reader: TypeReader
  readonly expiresAtMs: number | null
  readonly bytes: number
}

/** Yields the entries of these keys, in several groups if they are large. A key that is gone has none. */
export async function* readKeys(
  connection: SourceConnection,
  keys: readonly Uint8Array[],
  options: ImporterOptions,
): AsyncGenerator<SourceEntry[]> {
  const entries: SourceEntry[] = []
  let group: KeyInfo[] = []
  let bytes = 0
  for (const info of await inspect(connection, keys, options)) {
    if ('code' in info) {
      entries.push(info)
      continue
    }
    if (bytes + info.bytes > groupBytes && group.length > 0) {
      yield await readGroup(connection, group, options)
      group = []
      bytes = 0
    }
    group.push(info)
    bytes += info.bytes
  }
  yield [...entries, ...(await readGroup(connection, group, options))]
}

async function inspect(
  connection: SourceConnection,
  keys: readonly Uint8Array[],
  { encodeKeys, now }: ImporterOptions,
): Promise<(KeyInfo | RejectedEntry)[]> {
  const replies = await connection.pipeline(
    keys.flatMap((key): SourceCommand[] => [
      ['TYPE', key],
      ['PTTL', key],
      ['MEMORY', 'USAGE', key],
    ]),
  )
  const nowMs = now()
  return keys.flatMap((key, i): (KeyInfo | RejectedEntry)[] => {
    const [type, leftMs, memory] = replies.slice(3 * i, 3 * i + 3)
    const text = keyText(key, encodeKeys)
    if (text === null) return [rejectedBinaryKey(key)]
    if (type instanceof ErrorReply) return [unreadable(text, type)]
    const typeName = String(type)
    if (typeName === 'none' || leftMs === -2) return []
    const reader = Object.hasOwn(readers, typeName) ? readers[typeName] : undefined
    if (reader === undefined)
      return [{ key: text, code: 'unsupported', reason: `it is of the type ${typeName}` }]
    const bytes = typeof memory === 'number' ? memory : unknownBytes
    if (bytes > maxReadBytes) {
      return [{ key: text, code: 'too_large', reason: `it takes ${bytes} bytes of the server's memory` }]
    }
    const expiresAtMs = typeof leftMs === 'number' && leftMs >= 0 ? nowMs + leftMs : null
    return [{ key, text, reader, expiresAtMs, bytes }]
  })
}

async function readGroup(
  connection: SourceConnection,
  group: readonly KeyInfo[],
  { json }: ImporterOptions,
): Promise<SourceEntry[]> {
  const commands = group.flatMap(({ key, reader: { read, lost } }) =>
    lost === undefined ? [read(key)] : [read(key), lost.read(key)],
  )
  const replies = (await connection.pipeline(commands)).values()
  return group.flatMap(({ text, reader, expiresAtMs }): SourceEntry[] => {
    const reply = replies.next().value!
    const lost = reader.lost === undefined ? null : replies.next().value!
    if (reply instanceof ErrorReply) return [unreadable(text, reply)]
    if (reply === null) return [] // expired since
    const entry = entryOf(text, reader.value(reply, json), expiresAtMs)
    const isAll = arrayOf(lost).length === 0 || 'code' in entry
    return [isAll ? entry : { ...entry, lost: reader.lost!.what }]
  })
}

/** Returns the entry of a value; a rejection if JSON cannot express it. */
export function entryOf(
  key: string,
  value: RedisValue,
  expiresAtMs: number | null,
): FoundEntry | RejectedEntry {
  if ('unsupported' in value) return { key, code: 'unsupported', reason: value.unsupported }
  return { key, value, expiresAtMs }
}

/** The key changed its type since, or moved to another server of the cluster. */
function unreadable(key: string, { text }: ErrorReply): RejectedEntry {
  return { key, code: 'unreadable', reason: `the server refused: ${text}` }
}

function arrayOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? reply : []
}

function bytesOf(reply: Reply | undefined): Uint8Array {
  return reply instanceof Uint8Array ? reply : Buffer.from(String(reply))
}

function elementsOf(reply: Reply | undefined): Uint8Array[] {
  return arrayOf(reply).map(bytesOf)
}

function pairsOf(reply: Reply | undefined): (readonly [Uint8Array, Uint8Array])[] {
  const elements = elementsOf(reply)
  return Array.from({ length: elements.length >> 1 }, (_, i) => [elements[2 * i]!, elements[2 * i + 1]!])
}
