import zlib from 'node:zlib'
import { type Coding, codings } from './content-coding.ts'

/** Reads the file into which scripts/build-console.ts puts the console. */

/** A file of the console, plain and in the content codings that it was compressed with. */
export interface PackedFile {
  readonly type: string
  /** Its entity tag, without quotes. */
  readonly tag: string
  /** Not compressed. */
  readonly plain: () => Uint8Array
  readonly coded: ReadonlyMap<Coding, Uint8Array>
}

type Slice = readonly [offset: number, length: number]

interface PackIndex {
  readonly files: Readonly<
    Record<
      string,
      { readonly type: string; readonly tag: string; readonly bodies: Readonly<Record<string, Slice>> }
    >
  >
}

/** Returns the files by their paths. */
export function unpack(bytes: Uint8Array): ReadonlyMap<string, PackedFile> {
  const start = bytes.indexOf(0x0a) + 1
  const { files }: PackIndex = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, start).toString())
  const at = ([offset, length]: Slice) => bytes.subarray(start + offset, start + offset + length)
  return new Map(
    Object.entries(files).map(([path, { type, tag, bodies }]) => {
      const coded = codings.flatMap((coding) => {
        const slice = bodies[coding]
        return slice === undefined ? [] : [[coding, at(slice)] as const]
      })
      return [path, { type, tag, plain: () => plainOf(bodies, at), coded: new Map(coded) }]
    }),
  )
}

/** Few clients need a large file plain, so it is in the pack in its codings alone. */
function plainOf(bodies: Readonly<Record<string, Slice>>, at: (slice: Slice) => Uint8Array): Uint8Array {
  return bodies.identity === undefined ? zlib.gunzipSync(at(bodies.gzip!)) : at(bodies.identity)
}
