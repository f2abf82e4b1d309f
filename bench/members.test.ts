import { expect, test } from 'bun:test'
import { jsonOf, keyOf, ndjson, redisCommands, writtenValue } from './members.ts'

test('values are JSON of exactly 100 bytes', () => {
  for (const value of [jsonOf(0), jsonOf(9_999_999), writtenValue]) {
    expect(Buffer.byteLength(value)).toBe(100)
    expect(JSON.parse(value)).toBeObject()
  }
})

test('NDJSON and Redis commands carry every member once, in order', () => {
  const lines = Buffer.concat([...ndjson(1001)])
    .toString()
    .trimEnd()
    .split('\n')
  expect(lines).toHaveLength(1001)
  expect(JSON.parse(lines[1000] ?? '')).toEqual({ key: keyOf(1000), value: JSON.parse(jsonOf(1000)) })
  const commands = Buffer.concat([...redisCommands(1001)]).toString()
  expect(commands.split('SET\r\n')).toHaveLength(1002)
  expect(commands).toEndWith(`$100\r\n${jsonOf(1000)}\r\n`)
})
