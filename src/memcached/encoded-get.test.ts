import { expect, test } from 'bun:test'
import type { Get } from './command.ts'
import { EncodedGet } from './encoded-get.ts'
import { CommandParser } from './protocol.ts'

function parse(...chunks: string[]): unknown[] {
  const parser = new CommandParser(1000)
  return chunks.flatMap((chunk) => {
    parser.push(Buffer.from(chunk))
    return Array.from({ length: 2 }, () => parser.next()).filter((command) => command !== null)
  })
}

const keys = Array.from({ length: 16 }, (_, i) => `key${i}`)

test('the keys of a long get stay bytes, and are those of its line whatever arrives behind it', () => {
  const line = `get  ${keys.join(' ')} \r\n`
  const other = `gets ${keys.map((key) => key.toUpperCase()).join(' ')}\r\n`
  for (const chunks of [
    [line, other],
    [line.slice(0, 40), line.slice(40) + other.slice(0, 30), other.slice(30)],
  ]) {
    const commands = parse(...chunks) as Get[]
    expect(commands.map((command) => command instanceof EncodedGet && command.count)).toEqual([16, 16])
    expect(commands.map((command) => command.keys)).toEqual([keys, keys.map((key) => key.toUpperCase())])
    expect(commands.map(({ withCas }) => withCas)).toEqual([false, true])
  }
})

test('keys that are not ASCII become texts, and what is no key is refused', () => {
  expect(parse(`get ${keys.join(' ')} é\r\n`)).toEqual([
    { kind: 'get', keys: [...keys, 'é'], withCas: false, touch: null },
  ])
  for (const wrong of ['a\u0001', 'a\u007f', 'x'.repeat(251)])
    expect(parse(`get ${keys.join(' ')} ${wrong}\r\n`)).toMatchObject([{ kind: 'refused' }])
})
