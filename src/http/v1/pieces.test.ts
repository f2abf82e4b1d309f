import { describe, expect, test } from 'bun:test'
import type { Change, Member, Value } from '../../core/member.ts'
import { listPieces, nextPiece, pieceChars, slices } from './pieces.ts'
import {
  changeJson,
  changeLine,
  changeLinePieces,
  changePieces,
  linePieces,
  memberJson,
  memberLine,
  memberPieces,
} from './serializers.ts'

const contents: Readonly<Record<string, { value: Value; contentType: string }>> = {
  'short JSON': { value: '"short"', contentType: 'application/json' },
  'JSON with line breaks': {
    value: `[${'1,\n2,\r\n'.repeat(100_000)}3]`,
    contentType: 'application/json',
  },
  'JSON of pairs at odd places': {
    value: `"${'\u{1f600}'.repeat(pieceChars)}"`,
    contentType: 'application/json',
  },
  'text in bytes': { value: Buffer.from('é"\n'.repeat(200_000)), contentType: 'text/plain' },
  'bytes of a length that base64 pads': {
    value: new Uint8Array(pieceChars * 2 + 1).map((_, i) => i * 31),
    contentType: 'a/b',
  },
}

function memberOf(name: string): Member {
  const { value, contentType } = contents[name]!
  return {
    key: `"${name}"`,
    value,
    contentType,
    revision: 7,
    createdAtMs: 1,
    clock: 2,
    node: '',
    expiresAtMs: null,
    flags: 3,
  }
}

/** Compared by hand: a failure must not print all of it. */
function expectPieces(pieces: Iterable<string>, whole: string): void {
  const all = [...pieces]
  expect(all.join('') === whole).toBe(true)
  for (const piece of all) {
    expect(piece.isWellFormed()).toBe(true)
    expect(piece.length).toBeLessThanOrEqual(pieceChars)
  }
}

describe.each(Object.keys(contents))('%s', (name) => {
  const member = memberOf(name)

  test.each(['keys', 'values', 'metadata', 'all'] as const)(
    'a member in pieces is the member: %s',
    (include) => {
      const shape = { include, nodeId: 'n' }
      expectPieces(memberPieces(member, shape), memberJson(member, shape))
      expectPieces(linePieces(member, shape), memberLine(member, shape))
    },
  )

  test('a change in pieces is the change', () => {
    const change: Change = { type: 'put', collection: 'c', member }
    for (const event of [
      { change, cursor: '1' },
      { change, cursor: '1', leaves: true },
    ] as const) {
      for (const nodeId of [null, 'n']) expectPieces(changePieces(event, nodeId), changeJson(event, nodeId))
      expectPieces(changeLinePieces(event), changeLine(event))
    }
  })
})

test('entries come in their order, each released when it is due', () => {
  const entries = [1, 2, 3]
  const left: number[] = []
  const piecesOf = (entry: number) => {
    left.push(entries.length)
    return [`<${entry}`, '>']
  }
  expect([...listPieces('[', entries, piecesOf, ']')].join('')).toBe('[<1>,<2>,<3>]')
  expect(left).toEqual([2, 1, 0])
  expect([...listPieces('[', [], piecesOf, ']')].join('')).toBe('[]')
})

test('parts are put together up to about a piece', () => {
  const parts = [...slices('x'.repeat(3 * pieceChars)), 'y'].values()
  const lengths: number[] = []
  for (let piece = nextPiece(parts); piece !== null; piece = nextPiece(parts)) lengths.push(piece.length)
  expect(lengths).toEqual([pieceChars, pieceChars, pieceChars, 1])
  const short = ['a', 'b', 'c'].values()
  expect([nextPiece(short), nextPiece(short)]).toEqual(['abc', null])
})
