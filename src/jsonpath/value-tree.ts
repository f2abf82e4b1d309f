import { openBrace, openBracket, skipSpace, valueEnd } from '../json/scan.ts'
import { stringValue } from './compare.ts'
import type { CountSteps } from './regexp.ts'

/**
 * The values inside of a value, numbered from 0 in the order of the text: a value, its first child with all that is in it,
 * its second child, and so on. Built in one pass, so that what a filter visits many times is found without scanning.
 * Of members with the same name the last counts, as in `JSON.parse`; the others are removed.
 */
export class ValueTree {
  count = 0
  /** Where each value begins in the text; `removed` for a member whose name is repeated. */
  starts = new Int32Array(initialCapacity)
  /** The value after each value and all that is in it. */
  nexts = new Int32Array(initialCapacity)
  /** Where the name of each member begins, at its quote; meaningless for others. */
  names = new Int32Array(initialCapacity)
  /** A hash of each name, by which names that differ are told apart without decoding them. */
  private hashes = new Int32Array(initialCapacity)
  /** Of the name that was passed last. */
  private hash = 0

  /** Builds the tree of the value at an offset. */
  build(text: string, start: number, countSteps: CountSteps): void {
    this.count = 0
    // While a container is open, `nexts` has the container around it.
    let parent = none
    let at = start
    let name = none
    for (;;) {
      const value = this.add(at, name)
      const unit = text.charCodeAt(at)
      if (unit === openBrace || unit === openBracket) {
        this.nexts[value] = parent
        parent = value
        at = skipSpace(text, at + 1)
      } else {
        at = skipSpace(text, valueEnd(text, at))
        this.nexts[value] = this.count
      }
      while (parent !== none && isClosing(text.charCodeAt(at))) {
        parent = this.close(text, parent, countSteps)
        at = skipSpace(text, at + 1)
      }
      if (parent === none || at >= text.length) {
        countSteps(this.count % countedTogether)
        return
      }
      if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
      if (text.charCodeAt(this.starts[parent]!) === openBrace) {
        name = at
        at = skipSpace(text, skipSpace(text, this.passName(text, at)) + 1)
      }
      if (this.count % countedTogether === 0) countSteps(countedTogether)
    }
  }

  /** Lets go of the memory of a large value. */
  release(): void {
    if (this.starts.length <= keptCapacity) return
    this.starts = new Int32Array(initialCapacity)
    this.nexts = new Int32Array(initialCapacity)
    this.names = new Int32Array(initialCapacity)
    this.hashes = new Int32Array(initialCapacity)
  }

  private add(start: number, name: number): number {
    const value = this.count++
    if (value === this.starts.length) this.grow()
    this.starts[value] = start
    this.names[value] = name
    this.hashes[value] = this.hash
    return value
  }

  /** Passes a name, computes its hash, and returns where it ends. */
  private passName(text: string, start: number): number {
    let hash = 0
    const near = Math.min(start + shortName, text.length)
    for (let at = start + 1; at < near; at++) {
      const unit = text.charCodeAt(at)
      if (unit === backslash) break
      hash = (Math.imul(hash, 31) + unit) | 0
      if (unit !== quote) continue
      this.hash = hash
      return at + 1
    }
    this.hash = anyHash
    return valueEnd(text, start)
  }

  private grow(): void {
    this.starts = doubled(this.starts)
    this.nexts = doubled(this.nexts)
    this.names = doubled(this.names)
    this.hashes = doubled(this.hashes)
  }

  /** Returns the container around. */
  private close(text: string, value: number, countSteps: CountSteps): number {
    const parent = this.nexts[value]!
    this.nexts[value] = this.count
    if (text.charCodeAt(this.starts[value]!) === openBrace) this.removeRepeated(text, value, countSteps)
    return parent
  }

  private removeRepeated(text: string, object: number, countSteps: CountSteps): void {
    const { starts, nexts, names } = this
    if (!this.mayRepeat(object)) return
    const end = nexts[object]!
    const members = new Map<string, number>()
    for (let child = object + 1; child < end; child = nexts[child]!) {
      const at = names[child]!
      const name = stringValue(text, at, valueEnd(text, at))
      const earlier = members.get(name)
      if (earlier !== undefined) starts[earlier] = removed
      members.set(name, child)
    }
    countSteps(members.size)
  }

  /** Compares the hashes of the names of a small object. */
  private mayRepeat(object: number): boolean {
    const { nexts, hashes } = this
    const end = nexts[object]!
    let count = 0
    for (let child = object + 1; child < end; child = nexts[child]!) {
      const hash = hashes[child]!
      if (++count > smallObject) return true
      for (let other = nexts[child]!; other < end; other = nexts[other]!) {
        if (hashes[other] === hash || hash === anyHash || hashes[other] === anyHash) return true
      }
    }
    return false
  }
}

export const removed = -1
const none = -1
const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const closeBracket = 0x5d
const closeBrace = 0x7d

/** The hash of names that are long or have escapes. */
const anyHash = 0
const shortName = 32
const smallObject = 16

const initialCapacity = 64
/** Values whose memory is kept for the next text. */
const keptCapacity = 65_536
/** Steps are counted by so many. */
const countedTogether = 256

function isClosing(unit: number): boolean {
  return unit === closeBrace || unit === closeBracket
}

function doubled(values: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(values.length * 2)
  larger.set(values)
  return larger
}
