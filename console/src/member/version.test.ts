import { expect, test } from 'bun:test'
import { parseListed } from './version.ts'

const metadata =
  '"revision":7,"created_at":"2026-11-28T20:38:29.359Z","updated_at":"2026-11-28T20:39:00.000Z","expires_at":null,"content_type":"application/json","flags":3,"origin":{"node":"n","clock":5}}'

function listOf(member: string, next = 'null'): Uint8Array {
  return new TextEncoder().encode(`{"members":[${member}],"next":${next}}`)
}

test('the value has the bytes that are stored, whatever is in it', () => {
  const values = [
    '{\n  "n": 1.000000000000000000001e400, "n": 2\r\n}\n',
    `"\\",\\"revision\\":1,\\"created_at\\":\\"x\\"}],\\"next\\":null}"`,
    `{"a":1,"revision":1,"created_at":"x"}`,
    ` [ ] `,
  ]
  for (const value of values) {
    const version = parseListed(listOf(`{"key":"a\\"b","value":${value},${metadata}`, '"cursor"'), 'a"b')!
    expect(version.text).toBe(value)
    expect(version).toMatchObject({
      revision: 7,
      flags: 3,
      bytes: value.length,
      origin: { node: 'n', clock: 5 },
    })
  }
})

test('texts and bytes are decoded', () => {
  const text = parseListed(listOf(`{"key":"k","value_text":"a\\r\\nå",${metadata}`), 'k')!
  expect([text.text, text.bytes]).toEqual(['a\r\nå', 5])
  const bytes = parseListed(listOf(`{"key":"k","value_base64":"AP8K",${metadata}`), 'k')!
  expect([bytes.text, [...bytes.value!]]).toEqual([null, [0, 255, 10]])
})

test('another member is none, and what is not a list is an error', () => {
  expect(parseListed(listOf(`{"key":"key2","value":1,${metadata}`), 'key')).toBeNull()
  expect(parseListed(listOf(''), 'key')).toBeNull()
  expect(() => parseListed(new TextEncoder().encode('<html>'), 'key')).toThrow('did not send a list')
  expect(() => parseListed(listOf('{"key":"key","value":1}'), 'key')).toThrow('metadata')
})
