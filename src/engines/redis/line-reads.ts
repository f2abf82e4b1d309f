import type { MemberRef } from '../../core/engine.ts'
import type { Change, Member } from '../../core/member.ts'
import type { IndexGuard } from '../../core/shared-store.ts'
import type { Cluster } from './cluster.ts'
import type { LineState } from './cursors.ts'
import { faultOf, staleViewOf } from './errors.ts'
import { fieldOf, fieldRange, type LineKeys, refOf } from './layout.ts'
import { changeOf, decodeRecord, memberOf, type StoredRecord } from './record.ts'
import type { RedisCommand, Reply } from './resp.ts'
import expiringScript from './scripts/expiring.lua' with { type: 'text' }
import feedScript from './scripts/feed.lua' with { type: 'text' }
import guardIndexScript from './scripts/guard-index.lua' with { type: 'text' }
import partScript from './scripts/part.lua' with { type: 'text' }
import scanScript from './scripts/scan.lua' with { type: 'text' }
import valuesScript from './scripts/values.lua' with { type: 'text' }

/** A record with its name; a large value is read separately. */
export interface FoundRecord extends MemberRef {
  readonly line: number
  readonly record: StoredRecord
}

/** A part of a line's feed. */
export interface FeedPart extends LineState {
  readonly found: readonly FoundRecord[]
  /** Nothing in scope lies between the last of `found` and this; at the end, the head. */
  readonly through: number
  readonly atEnd: boolean
}

export interface FeedRange {
  readonly after: number
  readonly limit: number
  readonly collection?: string
  readonly key?: string
}

/** A scoped page of the feed examines at most this many changes of a line. */
const maxExaminedChanges = 5000
/** A page of a line has at most this many members or changes, whatever is asked for. */
export const maxLinePage = 10_000
/** Fields that one command names. */
const maxFields = 4000

/** Reads of single lines, each of one moment. They reject with a KvistError. */
export class LineReads {
  private readonly cluster: Cluster
  private readonly keys: readonly LineKeys[]
  private readonly scripts: Readonly<
    Record<'scan' | 'scanIndex' | 'feed' | 'values' | 'part' | 'expiring', string>
  >

  constructor(cluster: Cluster, keys: readonly LineKeys[]) {
    this.cluster = cluster
    this.keys = keys
    this.scripts = {
      scan: cluster.script(scanScript),
      scanIndex: cluster.script(`${guardIndexScript}${scanScript}`),
      feed: cluster.script(feedScript),
      values: cluster.script(valuesScript),
      part: cluster.script(partScript),
      expiring: cluster.script(expiringScript),
    }
  }

  async record(line: number, ref: MemberRef): Promise<StoredRecord | null> {
    const { records } = this.keys[line]!
    const bytes = await this.send(line, ['HGET', records, fieldOf(ref)])
    return Buffer.isBuffer(bytes) ? decodeRecord(bytes) : null
  }

  async records(line: number, refs: readonly MemberRef[]): Promise<(StoredRecord | null)[]> {
    // More would have to be read in parts, which are not of one moment.
    if (refs.length > maxFields) return (await this.values(line, refs)).map(({ record }) => record)
    const found = await this.list(line, ['HMGET', this.keys[line]!.records, ...refs.map(fieldOf)])
    return found.map((bytes) => (Buffer.isBuffer(bytes) ? decodeRecord(bytes) : null))
  }

  /** Returns records together with the values that are not in them. */
  async values(
    line: number,
    refs: readonly MemberRef[],
  ): Promise<{ readonly record: StoredRecord | null; readonly large: Buffer | null }[]> {
    const { records, values } = this.keys[line]!
    const found = await this.script(line, 'values', [records, values], refs.map(fieldOf))
    return refs.map((_, i) => {
      const [bytes, large] = [found[2 * i], found[2 * i + 1]]
      return {
        record: Buffer.isBuffer(bytes) ? decodeRecord(bytes) : null,
        large: Buffer.isBuffer(large) ? large : null,
      }
    })
  }

  /** Returns a record with the bytes `from` to `to`, exclusive, of its value. */
  async part(line: number, ref: MemberRef, from: number, to: number) {
    const { records, values } = this.keys[line]!
    const [bytes, large] = await this.script(
      line,
      'part',
      [records, values],
      [fieldOf(ref), String(from + 1), String(to)],
    )
    if (!Buffer.isBuffer(bytes)) return null
    const record = decodeRecord(bytes)
    if (record.isTombstone) return null
    const part = record.value === null ? large : record.value.subarray(from, to)
    return Buffer.isBuffer(part) ? { record, part: new Uint8Array(part) } : null
  }

  /** Returns members in the order of their keys; of fewer than `limit` there are no more. Rejects with `StaleView` for the guard. */
  async scan(line: number, part: ScanPart): Promise<FoundRecord[]> {
    const { collection, from, to, isDescending, limit, guard } = part
    const { order, records, head } = this.keys[line]!
    const range = fieldRange(collection)
    const low = `[${range.from}${from ?? ''}`
    const high = to === null ? `(${range.to}` : `(${range.from}${to}`
    const bounds = isDescending ? ['ZREVRANGEBYLEX', high, low] : ['ZRANGEBYLEX', low, high]
    const asked = [...bounds, String(limit)]
    if (guard === undefined) return foundIn(line, await this.script(line, 'scan', [order, records], asked))
    const { id, generation, view } = guard
    const guarded = [...asked, id, String(generation), String(view)]
    const found = await this.script(line, 'scanIndex', [order, records, head], guarded, guard)
    return foundIn(line, found)
  }

  async feed(line: number, { after, limit, collection, key }: FeedRange): Promise<FeedPart> {
    const { head, records, members, tombstones } = this.keys[line]!
    const prefix = collection === undefined ? '' : fieldRange(collection).from
    const field = collection === undefined || key === undefined ? '' : fieldOf({ collection, key })
    const reply = await this.script(
      line,
      'feed',
      [head, records, members, tombstones],
      [String(after), String(limit), prefix, String(Math.max(maxExaminedChanges, limit)), field],
    )
    const [rev, forgotten, gaps, through, atEnd, ...rest] = reply
    const found = foundIn(line, rest).filter(({ record }) => record.revision > after)
    return {
      head: Number(rev),
      forgotten: Number(forgotten),
      gaps: gapsIn(gaps),
      found,
      through: Number(through),
      atEnd: atEnd === 1,
    }
  }

  async head(line: number): Promise<number> {
    return Number(await this.send(line, ['HGET', this.keys[line]!.head, 'rev']))
  }

  /** Returns the revision of the newest forgotten tombstone. */
  async forgotten(line: number): Promise<number> {
    return Number((await this.send(line, ['HGET', this.keys[line]!.head, 'forgotten'])) ?? 0)
  }

  /** Returns members that have expired, the earliest first; none while another server than `sweeper` sweeps the line. */
  async expiring(line: number, atMs: number, limit: number, sweeper: string | null) {
    const { expiries, records, head } = this.keys[line]!
    const reply = await this.script(
      line,
      'expiring',
      [expiries, records, head],
      [String(atMs), String(Math.min(limit, maxLinePage)), sweeper ?? ''],
    )
    const found: (FoundRecord & { readonly expiresAtMs: number })[] = []
    for (let i = 0; i + 2 < reply.length; i += 3) {
      const [field, expiresAtMs, bytes] = reply.slice(i, i + 3)
      if (!Buffer.isBuffer(field) || !Buffer.isBuffer(bytes)) continue
      found.push({ ...refOf(field), line, record: decodeRecord(bytes), expiresAtMs: Number(expiresAtMs) })
    }
    return found
  }

  /** Returns what the line has of each collection. */
  async sizes(line: number): Promise<{ name: string; members: number; bytes: number }[]> {
    const fields = await this.list(line, ['HGETALL', this.keys[line]!.sizes])
    const sizes = new Map<string, { name: string; members: number; bytes: number }>()
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const field = String(fields[i])
      if (field === '') continue
      const name = field.slice(1)
      const size = sizes.get(name) ?? { name, members: 0, bytes: 0 }
      size[field.startsWith('m') ? 'members' : 'bytes'] = Number(fields[i + 1])
      sizes.set(name, size)
    }
    return [...sizes.values()]
  }

  async sizeOf(line: number, collection: string): Promise<{ members: number; bytes: number }> {
    const { sizes } = this.keys[line]!
    const [members, bytes] = await this.list(line, ['HMGET', sizes, `m${collection}`, `b${collection}`])
    return { members: Number(members ?? 0), bytes: Number(bytes ?? 0) }
  }

  private script(
    line: number,
    name: keyof LineReads['scripts'],
    keys: readonly string[],
    rest: readonly string[],
    guard?: IndexGuard,
  ): Promise<readonly Reply[]> {
    return this.list(line, ['EVALSHA_RO', this.scripts[name], keys.length, ...keys, ...rest], guard)
  }

  private async list(line: number, command: RedisCommand, guard?: IndexGuard): Promise<readonly Reply[]> {
    const reply = await this.send(line, command, guard)
    if (!Array.isArray(reply)) throw faultOf(new Error('the reply is no list'))
    return reply
  }

  private async send(line: number, command: RedisCommand, guard?: IndexGuard): Promise<Reply> {
    try {
      return await this.cluster.read(this.keys[line]!.slot, command)
    } catch (error) {
      throw staleViewOf(error, guard) ?? faultOf(error)
    }
  }
}

export interface ScanPart {
  readonly collection: string
  readonly from: string | null
  readonly to: string | null
  readonly isDescending: boolean
  readonly limit: number
  readonly guard?: IndexGuard | undefined
}

function foundIn(line: number, reply: readonly Reply[]): FoundRecord[] {
  const found: FoundRecord[] = []
  for (let i = 0; i + 1 < reply.length; i += 2) {
    const [field, bytes] = [reply[i], reply[i + 1]]
    if (Buffer.isBuffer(field) && Buffer.isBuffer(bytes)) {
      found.push({ ...refOf(field), line, record: decodeRecord(bytes) })
    }
  }
  return found
}

const gapBytes = 16

function gapsIn(reply: Reply | undefined): { after: number; before: number }[] {
  if (!Buffer.isBuffer(reply)) return []
  const gaps: { after: number; before: number }[] = []
  for (let at = 0; at + gapBytes <= reply.length; at += gapBytes) {
    // The last revision of the gap is not given out either.
    gaps.push({ after: reply.readDoubleBE(at), before: reply.readDoubleBE(at + 8) })
  }
  return gaps
}

/** Values that are not in their records, by record; null of one that has another version by now. */
export type ValuesByRecord = ReadonlyMap<FoundRecord, Buffer | null>

/** Reads the large values of records. `onReplaced` is called with the line and the revision of what replaced one meanwhile. */
export async function largeValues(
  reads: LineReads,
  found: readonly FoundRecord[],
  onReplaced: (line: number, revision: number) => void = () => {},
): Promise<ValuesByRecord> {
  const values = new Map<FoundRecord, Buffer | null>()
  const large = found.filter(({ record }) => !record.isTombstone && record.value === null)
  if (large.length === 0) return values
  const lines = Map.groupBy(large, ({ line }) => line)
  await Promise.all(
    [...lines].map(async ([line, some]) => {
      const read = await reads.values(line, some)
      for (const [i, one] of some.entries()) {
        const now = read[i]!
        const isSame = now.record?.revision === one.record.revision && now.record.clock === one.record.clock
        values.set(one, isSame ? now.large : null)
        if (!isSame) onReplaced(line, now.record?.revision ?? 0)
      }
    }),
  )
  return values
}

/** Returns whether the value of a record was read, or is in it. */
export function isWhole(found: FoundRecord, values: ValuesByRecord): boolean {
  return found.record.isTombstone || found.record.value !== null || values.get(found) != null
}

export function memberOfFound(found: FoundRecord, values: ValuesByRecord): Member | null {
  return found.record.isTombstone ? null : memberOf(found.key, found.record, values.get(found) ?? null)
}

export function changeOfFound(found: FoundRecord, values: ValuesByRecord): Change {
  return changeOf(found, found.record, values.get(found) ?? null)
}

export function valueBytesOf({ record }: FoundRecord): number {
  return record.isTombstone ? 0 : record.valueBytes
}
