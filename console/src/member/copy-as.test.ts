import { expect, test } from 'bun:test'
import { type CopiedMember, ways } from './copy-as.ts'

const encoder = new TextEncoder()

function member(changes: Partial<CopiedMember> & { text?: string | null }): CopiedMember {
  const text = changes.text === undefined ? '{"name": "Ann"}' : changes.text
  return {
    origin: 'http://127.0.0.1:7070',
    collection: 'users',
    key: 'ann',
    contentType: 'application/json',
    needsToken: false,
    bytes: encoder.encode(text ?? ''),
    ...changes,
    text,
  }
}

function linesOf(copied: CopiedMember): Record<string, string> {
  return Object.fromEntries(
    ways.flatMap(({ id, read, write }) => [
      [`${id} read`, read(copied)],
      [`${id} write`, write(copied)],
    ]),
  )
}

test('plain names need no quotes, and JSON that JavaScript keeps is a literal of it', () => {
  const lines = linesOf(member({}))
  expect(lines['curl read']).toBe('curl http://127.0.0.1:7070/v1/users/ann')
  expect(lines['curl write']).toBe(
    `curl -X PUT http://127.0.0.1:7070/v1/users/ann -H 'Content-Type: application/json' --data-raw '{"name": "Ann"}'`,
  )
  expect(lines['kvist read']).toBe('kvist get --url http://127.0.0.1:7070 -c users -- ann')
  expect(lines['kvist write']).toBe(`kvist put --url http://127.0.0.1:7070 -c users -- ann '{"name": "Ann"}'`)
  expect(lines['typescript write']).toContain('.put("ann", {\n  "name": "Ann"\n})')
  expect(lines['python write']).toContain('data="{\\"name\\": \\"Ann\\"}".encode(),\n    headers={')
})

test('the token itself is not copied, and numbers stay as they are written', () => {
  const lines = linesOf(member({ needsToken: true, text: '1.0' }))
  for (const id of ['curl', 'typescript', 'python']) {
    expect(lines[`${id} read`]).toContain('KVIST_TOKEN')
    expect(lines[`${id} write`]).toContain('KVIST_TOKEN')
  }
  expect(lines['typescript write']).toContain('.putRaw("ann", "1.0", "application/json")')
})

test('bytes go as base64, and what is long comes from a file', () => {
  const bytes = new Uint8Array([0, 255, 10])
  const binary = linesOf(member({ text: null, bytes, contentType: 'application/octet-stream' }))
  for (const id of ['curl', 'kvist', 'typescript', 'python']) expect(binary[`${id} write`]).toContain('AP8K')
  const long = linesOf(member({ text: ' '.repeat(70_000) }))
  expect(long['curl write']).toContain('--data-binary @value')
  expect(long['kvist write']).toEndWith('ann - < value')
})
