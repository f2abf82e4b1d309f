import { EncodedRef } from '../core/encoded-ref.ts'
import type { Get } from './command.ts'

/**
 * The number of keys from which a `get` is done by a visit: fewer are read together with those of other commands. More than
 * the largest number would keep other connections waiting.
 */
export const leastVisited = 16
export const mostVisited = 1000

/** A `get` or `gets` of many keys, which stay bytes: the store searches for bytes, and few keys are ever decoded. */
export class EncodedGet implements Get {
  readonly kind = 'get'
  readonly withCas: boolean
  readonly touch = null
  /** The number of keys. */
  readonly count: number
  private readonly bytes: Buffer
  private readonly offsets: readonly number[]
  private texts: readonly string[] | null = null

  /** `offsets` are those of each key in `bytes`, which are ASCII and do not change, and of its end. */
  constructor(bytes: Buffer, offsets: readonly number[], withCas: boolean) {
    this.bytes = bytes
    this.offsets = offsets
    this.withCas = withCas
    this.count = offsets.length / 2
  }

  get keys(): readonly string[] {
    this.texts ??= this.refs('').map(({ key }) => key)
    return this.texts
  }

  refs(collection: string): readonly EncodedRef[] {
    const { bytes, offsets } = this
    const refs: EncodedRef[] = []
    for (let i = 0; i < offsets.length; i += 2)
      refs.push(new EncodedRef(collection, bytes, offsets[i]!, offsets[i + 1]!))
    return refs
  }
}
