import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { lineChunks } from './line-chunks.ts'

async function* blocksOf(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    yield bytes.slice(at, at + size)
    at += size
  }
}

async function cut(text: string, sizes: readonly number[], chunkBytes: number, maxLineBytes: number) {
  const chunks = []
  for await (const chunk of lineChunks(blocksOf(text, sizes), chunkBytes, maxLineBytes)) {
    chunks.push(
      'bytes' in chunk
        ? { text: new TextDecoder().decode(chunk.bytes), lines: chunk.lines }
        : chunk.overlongBytes,
    )
  }
  return chunks
}

test('chunks end with a line', async () => {
  const whole = { text: 'aa\nbb\n', lines: 2 }
  expect(await cut('aa\nbb\naa\nbb\ncc', [100], 1000, 1000)).toEqual([
    { text: 'aa\nbb\naa\nbb\ncc', lines: 5 },
  ])
  expect(await cut('aa\nbb\naa\nbb\ncc', [1], 6, 1000)).toEqual([whole, whole, { text: 'cc', lines: 1 }])
  expect(await cut('\n\n\n', [1], 2, 1000)).toEqual([
    { text: '\n\n', lines: 2 },
    { text: '\n', lines: 1 },
  ])
  expect(await cut('', [1], 6, 1000)).toEqual([])
})

test('a line that is too long is passed over, the ones around it are not', async () => {
  const long = 'x'.repeat(50)
  const [a, b] = [
    { text: 'a\n', lines: 1 },
    { text: 'b', lines: 1 },
  ]
  expect(await cut(`a\n${long}\nb`, [7], 100, 20)).toEqual([a, 51, b])
  expect(await cut(`a\n${long}`, [7], 100, 20)).toEqual([a, 50])
  expect(await cut(`${long}\n${long}\nb`, [7], 100, 20)).toEqual([51, 51, b])
})

test('nothing is lost, added or miscounted, however the stream comes', async () => {
  const lines = fc.array(fc.string({ maxLength: 40, size: 'max' }).map((line) => line.replaceAll('\n', ' ')))
  const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 })
  await fc.assert(
    fc.asyncProperty(
      lines,
      fc.boolean(),
      sizes,
      fc.integer({ min: 1, max: 100 }),
      async (given, endsOpen, sizes, chunkBytes) => {
        const text = given.map((line) => `${line}\n`).join('') + (endsOpen ? 'end' : '')
        const chunks = await cut(text, sizes, chunkBytes, 1000)
        const texts = chunks.map((chunk) => (typeof chunk === 'number' ? '' : chunk.text))
        expect(texts.join('')).toBe(text)
        expect(
          chunks.reduce<number>((sum, chunk) => sum + (typeof chunk === 'number' ? 1 : chunk.lines), 0),
        ).toBe(given.length + (endsOpen ? 1 : 0))
        for (const chunk of texts.slice(0, -1)) expect(chunk).toEndWith('\n')
      },
    ),
  )
})
