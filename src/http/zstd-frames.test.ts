import { expect, test } from 'bun:test'
import zlib from 'node:zlib'
import { ZstdFrames } from './zstd-frames.ts'

function isComplete(bytes: Uint8Array, partBytes = bytes.length || 1): boolean {
  const frames = new ZstdFrames()
  for (let at = 0; at < bytes.length; at += partBytes) frames.push(bytes.subarray(at, at + partBytes))
  return frames.isComplete
}

const { ZSTD_c_checksumFlag, ZSTD_c_contentSizeFlag } = zlib.constants
const texts = {
  nothing: '',
  short: 'hello',
  repeated: 'a'.repeat(500_000),
  many: Array.from({ length: 60_000 }, (_, i) => `line ${i * 7919}`).join('\n'),
  random: crypto.getRandomValues(new Uint8Array(60_000)),
}

const frames = Object.entries(texts).flatMap(([name, text]) =>
  [0, 1].flatMap((checksum) =>
    [0, 1].map((contentSize) => {
      const params = { [ZSTD_c_checksumFlag]: checksum, [ZSTD_c_contentSizeFlag]: contentSize }
      return [
        `${name}, checksum ${checksum}, size ${contentSize}`,
        zlib.zstdCompressSync(text, { params }),
      ] as const
    }),
  ),
)

test.each(frames)('a frame is whole when its last byte is there, and not before: %s', (_name, frame) => {
  for (const partBytes of [1, 7, frame.length]) expect(isComplete(frame, partBytes)).toBe(true)
  const lengths = Array.from({ length: Math.min(60, frame.length) }, (_, i) => [
    i,
    frame.length - 1 - i,
  ]).flat()
  for (const length of lengths)
    expect([length, isComplete(frame.subarray(0, length))]).toEqual([length, false])
  expect(isComplete(Buffer.concat([frame, Buffer.from([0])]))).toBe(false)
})

test('frames follow each other, those that are to be skipped among them', () => {
  const frame = zlib.zstdCompressSync('hello')
  const skippable = Buffer.from([0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
  expect(isComplete(Buffer.concat([frame, skippable, frame, frame]))).toBe(true)
  expect(isComplete(Buffer.concat([frame, skippable.subarray(0, -1)]))).toBe(false)
  expect(isComplete(Buffer.concat([frame, frame.subarray(0, -1)]))).toBe(false)
})

test('what is no frame is not whole', () => {
  for (const text of ['', 'hello', 'a long text that is no frame at all'])
    expect(isComplete(Buffer.from(text))).toBe(false)
})
