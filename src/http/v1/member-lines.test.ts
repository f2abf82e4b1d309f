import { expect, test } from 'bun:test'
import { membersOf } from './member-lines.ts'

/** Lines are scanned where that is possible, and parsed otherwise; what is stored must not depend on it. */

interface Outcome {
  readonly members: unknown[]
  readonly failed: [line: number, message: string][]
}

/** The members and failures of lines. A tabulator, which is in a line of its own, has every line parsed. */
function outcomeOf(lines: readonly string[], way: 'scanned' | 'parsed'): Outcome {
  const failed: [number, string][] = []
  const text = [...lines, ...(way === 'parsed' ? ['\t'] : [])].join('\n')
  const members = membersOf(Buffer.from(text), { last: 0 }, 0, (line, error) => {
    failed.push([line, (error as Error).message])
  })
  return { members: members.map((member) => ({ ...member, value: String(member.value) })), failed }
}

const lines = [
  '{"key":"a","value":1.0}',
  '{"value":{"x": [1e400, "é"]},"key":"b"}',
  ' { "key" : "c" , "value" : "x" } ',
  '',
  '   ',
  '{"key":"d","value":1,"revision":7,"created_at":"x","updated_at":null,"expires_at":null,"content_type":"application/json"}',
  '{"key":"e","value":1,"expires_at":"2100-01-01T00:00:00Z"}',
  '{"key":"f","value":1,"content_type":"application/json; charset=utf-8"}',
  '{"key":"f","value":1,"content_type":"a/b"}',
  '{"key":"g","value_text":"x"}',
  '{"key":"h","value":1,"key":"i"}',
  '{"key":"h","value":1,"value":2}',
  '{"key":"h","value":1,"expires_at":null,"expires_at":"x"}',
  '{"key":"","value":1}',
  '{"key":1,"value":1}',
  '{"key":"j"}',
  '{"value":1}',
  '{"key":"k","value":}',
  '{"key":"k","value":1',
  '{"key":"k","value":1}}',
  '{"key":"k","value":1} x',
  '{"key":"k","value":"open}',
  '"}',
  '{"key":"open',
  '","value":1}',
  '{"key":"l","value":1,"other":1}',
  `{"key":"${'k'.repeat(170)}","value":1}`,
  `{"key":"${'k'.repeat(512)}","value":1}`,
  `{"key":"${'k'.repeat(513)}","value":1}`,
  `{"key":"${'é'.repeat(256)}","value":1}`,
  `{"key":"${'é'.repeat(257)}","value":1}`,
  '{"key":"m","origin":{"clock":"1"},"value":[]}',
  '{}',
  '[]',
  '1',
]

test('scanned lines give the members, the failures and the numbers that parsed ones give', () => {
  const scanned = outcomeOf(lines, 'scanned')
  expect(scanned).toEqual(outcomeOf(lines, 'parsed'))
  expect(scanned.members).toHaveLength(13)
  for (const line of lines) expect(outcomeOf([line], 'scanned')).toEqual(outcomeOf([line], 'parsed'))
})

test('a key with escapes is the same key, and a value with escapes is stored as it was sent', () => {
  const escaped = [
    '{"key":"\\u0061\\n","value":"\\u0062"}',
    '{"\\u006bey":"c","value":1}',
    '{"key":"d","value":"\\x"}',
  ]
  const scanned = outcomeOf([...lines, ...escaped], 'scanned')
  expect(scanned).toEqual(outcomeOf([...lines, ...escaped], 'parsed'))
  expect(scanned.members).toContainEqual(expect.objectContaining({ key: 'a\n', value: '"\\u0062"' }))
})

test('the numbers of lines go on from block to block', () => {
  const number = { last: 0 }
  const failed: number[] = []
  for (const block of ['{"key":"a","value":1}\nx', '', 'y\n\t\nz']) {
    membersOf(Buffer.from(block), number, 0, (line) => failed.push(line))
  }
  expect([number.last, failed]).toEqual([6, [2, 4, 6]])
})
