/** The stored members: keys of twelve bytes, and JSON values of exactly 100 bytes that differ from member to member. */

const linesPerChunk = 1000
const encoder = new TextEncoder()

export function keyOf(index: number): string {
  return `key-${String(index).padStart(8, '0')}`
}

export function jsonOf(index: number): string {
  return `{"id":"${String(index).padStart(8, '0')}","text":"${'x'.repeat(73)}"}`
}

/** The value that every durable PUT writes, so that the client need not generate one for each. */
export const writtenValue = `{"id":"00000000","text":"${'w'.repeat(73)}"}`

/** Yields the members from 0 as NDJSON, a chunk at a time, so that the whole is never in memory. */
export function* ndjson(members: number): Generator<Uint8Array> {
  yield* chunks(members, (index) => `{"key":"${keyOf(index)}","value":${jsonOf(index)}}\n`)
}

/** Yields the same members as Redis commands. */
export function* redisCommands(members: number): Generator<Uint8Array> {
  yield* chunks(members, (index) => {
    const value = jsonOf(index)
    return `*3\r\n$3\r\nSET\r\n$12\r\n${keyOf(index)}\r\n$${value.length}\r\n${value}\r\n`
  })
}

function* chunks(members: number, line: (index: number) => string): Generator<Uint8Array> {
  for (let from = 0; from < members; from += linesPerChunk) {
    let text = ''
    const to = Math.min(members, from + linesPerChunk)
    for (let index = from; index < to; index++) text += line(index)
    yield encoder.encode(text)
  }
}
