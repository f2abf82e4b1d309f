import { expect, test } from 'bun:test'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { StoredJson } from '../../core/member-visitor.ts'
import type { MemoryShare } from '../wire/request-memory.ts'
import { MemberWriter, memberShape } from './member-writer.ts'
import { joinedMembers } from './serializers.ts'

/** Members as bytes, compared with the same members as text. */

const createdAtMs = Date.UTC(2026, 5, 1, 12, 0, 0, 7)

function memberOf(changes: Partial<Member>): Member {
  const usual = { key: 'k', value: '{"n": 1}', revision: 1, createdAtMs, clock: createdAtMs * 2048, node: '' }
  return { ...usual, expiresAtMs: null, contentType: jsonContentType, flags: 0, ...changes }
}

/** The row of a member, between other bytes. */
function rowOf({ key, value, revision, createdAtMs: created, clock }: Member): StoredJson {
  const [keyAt, keyEnd] = [3, 3 + Buffer.byteLength(key)]
  const bytes = Buffer.from(`"\\${'\n'}${key}~${value}"\\`)
  const valueAt = keyEnd + 1
  const valueEnd = valueAt + Buffer.byteLength(value)
  return { bytes, keyAt, keyEnd, valueAt, valueEnd, revision, createdAtMs: created, clock, flags: 0 }
}

const hour = 3_600_000
const plain: readonly Member[] = [
  memberOf({}),
  memberOf({ key: 'the same times' }),
  memberOf({ key: 'updated later', clock: (createdAtMs + 5000) * 2048 }),
  memberOf({ key: 'a "quote' }),
  memberOf({ key: 'a \\ backslash' }),
  memberOf({ key: 'a "quoted" \\ key', value: '"é\\n"' }),
  memberOf({ key: 'line\nbreak\t\u0000\u001f\u007f', value: '[1,\n2]' }),
  memberOf({ key: 'schlüssel/鍵/😀', value: '"鍵😀\u2028"' }),
  memberOf({ key: 'x'.repeat(512), value: `"${'y'.repeat(1600)}"` }),
  ...[0, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER].map((revision) =>
    memberOf({ revision }),
  ),
  ...[
    0,
    1,
    9,
    10,
    99,
    100,
    999,
    1000,
    64_000,
    128_999,
    hour,
    -1,
    -999,
    -62_167_219_200_000,
    253_402_300_799_999,
  ].map((ms) => memberOf({ createdAtMs: ms })),
  ...Array.from({ length: 300 }, (_, i) =>
    memberOf({ createdAtMs: createdAtMs + i * 977, clock: (createdAtMs + i * 15_013) * 2048 + i }),
  ),
]
const others: readonly (Member | null)[] = [
  null,
  memberOf({ expiresAtMs: createdAtMs + 1 }),
  memberOf({ value: new Uint8Array([255, 0]), contentType: 'x/y' }),
  memberOf({ value: Buffer.from('"text" é'), contentType: 'text/plain' }),
  memberOf({ value: '{}', contentType: 'application/x+json' }),
]

/** The memory of the responses that are not sent yet. */
const held: MemoryShare[] = []
const connection = { hold: (share: MemoryShare) => void held.push(share) }

const [before, after] = ['{"members":[', '],"next":"é"}\n']

test('rows, other members and none are written as their text, byte for byte', () => {
  // Twice: the second writer has the buffer of the first.
  for (let round = 0; round < 2; round++) {
    const writer = new MemberWriter(before)
    const all: (Member | null)[] = []
    for (const [i, member] of [...plain, ...plain.toReversed()].entries()) {
      writer.stored(rowOf(member))
      all.push(member)
      if (i % 3 !== 0) continue
      const other = others[i % others.length]!
      writer.member(other)
      all.push(other)
    }
    expect(writer.count).toBe(all.length)
    const bytes = all.reduce(
      (sum, member) => sum + (member === null ? 0 : Buffer.from(member.value).length),
      0,
    )
    expect(writer.valueBytes).toBeGreaterThan(bytes * 0.9)
    expect(Buffer.from(writer.end(after, connection)).toString()).toBe(
      joinedMembers(before, all, memberShape, after),
    )
  }
})

test('a row that was undone leaves nothing', () => {
  for (const kept of [[], plain.slice(0, 1), plain.slice(0, 4)]) {
    const writer = new MemberWriter(before)
    for (const member of kept) writer.stored(rowOf(member))
    const { valueBytes } = writer
    writer.stored(rowOf(memberOf({ key: 'other', createdAtMs: 5, clock: 7 })))
    writer.undo()
    expect([writer.count, writer.valueBytes]).toEqual([kept.length, valueBytes])
    writer.stored(rowOf(plain[1]!))
    const text = joinedMembers(before, [...kept, plain[1]!], memberShape, after)
    expect(Buffer.from(writer.end(after, connection)).toString()).toBe(text)
  }
})

test('what a writer returned stays as it is while others write', () => {
  const first = new MemberWriter(before)
  const second = new MemberWriter(before)
  first.stored(rowOf(plain[0]!))
  second.stored(rowOf(plain[2]!))
  const body = first.end(after, connection)
  const again = new MemberWriter('x'.repeat(1000))
  again.end('', connection)
  expect(Buffer.from(body).toString()).toBe(joinedMembers(before, [plain[0]!], memberShape, after))
  expect(Buffer.from(second.end(after, connection)).toString()).toBe(
    joinedMembers(before, [plain[2]!], memberShape, after),
  )
})

test('a large body stays as it is until its response is sent, and then leaves its memory to another', () => {
  const members = [...plain, ...plain.toReversed()]
  function bodyOf(some: readonly Member[]): Uint8Array {
    const writer = new MemberWriter(before)
    for (const member of some) writer.stored(rowOf(member))
    return writer.end(after, connection)
  }
  held.length = 0
  const body = bodyOf(members)
  expect(body.length).toBeGreaterThan(64 * 1024)
  expect(bodyOf(members.toReversed()).buffer).not.toBe(body.buffer)
  expect(Buffer.from(body).toString()).toBe(joinedMembers(before, members, memberShape, after))
  held[0]!.release()
  expect(bodyOf(members).buffer).toBe(body.buffer)
})

test('a body gets memory for as many members as are expected, by what they took in the last one', () => {
  const member = memberOf({ value: `"${'x'.repeat(1000)}"` })
  function bodyOf(count: number, expected: number): Uint8Array {
    const writer = new MemberWriter(before, expected)
    for (let i = 0; i < count; i++) writer.stored(rowOf(member))
    return writer.end(after, connection)
  }
  const grown = bodyOf(120, 0)
  const sized = bodyOf(120, 120)
  expect(sized).toEqual(grown)
  expect([grown, sized].map(({ buffer }) => buffer.byteLength / 65536)).toEqual([4, 3])
  expect(bodyOf(20, 1_000_000).buffer.byteLength).toBe(1024 * 1024)
})

test('of the memory of bodies that were sent 4 MiB are kept', () => {
  const member = memberOf({ value: `"${'x'.repeat(900_000)}"` })
  function sixBodies(): ArrayBufferLike[] {
    held.length = 0
    const bodies = Array.from({ length: 6 }, () => {
      const writer = new MemberWriter(before)
      writer.stored(rowOf(member))
      return writer.end(after, connection).buffer
    })
    for (const { release } of held) release()
    return bodies
  }
  const first = sixBodies()
  const kept = sixBodies().filter((buffer) => first.includes(buffer))
  expect(kept.length * first[0]!.byteLength).toBeLessThanOrEqual(4 * 1024 * 1024)
  expect(kept.length).toBeGreaterThan(2)
})
