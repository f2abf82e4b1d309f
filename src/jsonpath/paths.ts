import { eachElement, isName, openBrace, openBracket, skipSpace, stringEnd, valueEnd } from '../json/scan.ts'
import { stringValue } from './compare.ts'

/**
 * Finds the values at several paths in one pass over JSON text. Values are named by the offsets where they begin. Of
 * members with the same name the last counts, as in `JSON.parse`.
 */
export class PathFinder {
  private readonly root = new PathStep('')
  private readonly all: PathStep[] = [this.root]
  private canSearch = true

  /** Adds a path, and returns the step at its end; the same for equal paths. */
  add(path: readonly (string | number)[]): PathStep {
    let step = this.root
    for (const segment of path) {
      let next = step.nexts.get(segment)
      if (next === undefined) {
        next = new PathStep(segment)
        step.add(next)
        this.all.push(next)
      }
      step = next
    }
    const { names, indexes } = this.root
    this.canSearch =
      indexes.length === 0 && names.length <= few && names.every(({ name }) => searchable.test(name))
    return step
  }

  /** Sets `start` of the steps of all paths. */
  find(text: string): void {
    const { all, root } = this
    for (let i = 0; i < all.length; i++) all[i]!.start = -1
    root.start = skipSpace(text, 0)
    if (root.isLeaf || (this.canSearch && searchNames(text, root))) return
    for (let i = 1; i < all.length; i++) all[i]!.start = -1
    walk(text, root.start, root)
  }
}

/** So many names are compared one by one, which is quicker than to look them up. */
const few = 8

/** A name or an index on the way of one path or several. */
export class PathStep {
  readonly segment: string | number
  /** The segment, if it is a name. */
  readonly name: string
  /** The name in quotes. */
  readonly quoted: string
  readonly names: PathStep[] = []
  readonly indexes: PathStep[] = []
  readonly nexts = new Map<string | number, PathStep>()
  /** Where the value begins in the text that was searched last; -1 if there is nothing. */
  start = -1
  /** No path goes on from here. */
  isLeaf = true

  constructor(segment: string | number) {
    this.segment = segment
    this.name = String(segment)
    this.quoted = `"${segment}"`
  }

  add(next: PathStep): void {
    this.isLeaf = false
    this.nexts.set(next.segment, next)
    const others = typeof next.segment === 'string' ? this.names : this.indexes
    others.push(next)
  }
}

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const backslash = 0x5c

/** Names that are written as they are, and cannot be what follows the end of a string. */
const searchable = /^[^"\\\p{Cc}\s,:\]}][^"\\\p{Cc}]*$/u

/**
 * Finds the members of an object by searching the text for their names, which is quicker than to read it. In a text
 * without escapes, a quote begins or ends a string; one before a letter begins it; and a string before a colon is a name.
 * Returns false if a name can be that of an object within: it is after the first bracket.
 */
function searchNames(text: string, { start, names }: PathStep): boolean {
  if (text.charCodeAt(start) !== openBrace) return true
  if (text.includes('\\')) return false
  let nested = -1
  for (let i = 0; i < names.length; i++) {
    const step = names[i]!
    const { quoted } = step
    for (let at = text.indexOf(quoted, start); at !== -1; at = text.indexOf(quoted, at)) {
      if (nested === -1) nested = firstBracket(text, start + 1)
      if (at > nested) return false
      at += quoted.length
      const afterName = skipSpace(text, at)
      if (text.charCodeAt(afterName) === colon) step.start = skipSpace(text, afterName + 1)
    }
    if (step.start !== -1 && !step.isLeaf) walk(text, step.start, step)
  }
  return true
}

/** Returns where the first object or array within begins, or a string has such a bracket; the length of the text for none. */
function firstBracket(text: string, from: number): number {
  const brace = text.indexOf('{', from)
  const bracket = text.indexOf('[', from)
  if (brace === -1 || bracket === -1)
    return Math.max(brace, bracket) === -1 ? text.length : Math.max(brace, bracket)
  return Math.min(brace, bracket)
}

/** Finds what lies below a step in the value at `start`, and returns where that value ends. */
function walk(text: string, start: number, step: PathStep): number {
  step.start = start
  const first = text.charCodeAt(start)
  if (first === openBrace && step.names.length > 0) return walkObject(text, start, step)
  if (first === openBracket && step.indexes.length > 0) return walkArray(text, start, step)
  return valueEnd(text, start)
}

/** Reads the members of an object, in one loop. */
function walkObject(text: string, open: number, parent: PathStep): number {
  let at = skipSpace(text, open + 1)
  while (text.charCodeAt(at) === quote) {
    const nameStart = at
    at = stringEnd(text, at)
    const step = stepOf(text, nameStart, at, parent)
    at = skipSpace(text, skipSpace(text, at) + 1)
    if (step === undefined) at = valueEnd(text, at)
    else {
      if (step.start !== -1) forget(step)
      at = walk(text, at, step)
    }
    at = skipSpace(text, at)
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return at + 1
}

/** Returns the step that a name leads to; undefined for none. */
function stepOf(text: string, start: number, end: number, { names, nexts }: PathStep): PathStep | undefined {
  if (names.length > few) return nexts.get(stringValue(text, start, end))
  for (let i = 0; i < names.length; i++) if (isNamed(text, start, end, names[i]!.name)) return names[i]
  return undefined
}

/** Whether a name equals another one; mostly it differs in the first characters, unless it has an escape. */
function isNamed(text: string, start: number, end: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const unit = text.charCodeAt(start + 1 + i)
    if (unit === name.charCodeAt(i) && unit !== backslash && unit !== quote) continue
    return unit === backslash && isName(text, start, end, name)
  }
  return end - start - 2 === name.length
}

/** A repeated name replaces what was found below its first value. */
function forget(step: PathStep): void {
  step.start = -1
  for (const next of step.names) forget(next)
  for (const next of step.indexes) forget(next)
}

function walkArray(text: string, open: number, { nexts, indexes }: PathStep): number {
  const starts: number[] = []
  const isCounted = indexes.some(({ segment }) => Number(segment) < 0)
  let index = 0
  const end = eachElement(text, open, (start) => {
    if (isCounted) starts.push(start)
    const step = nexts.get(index++)
    return step === undefined ? valueEnd(text, start) : walk(text, start, step)
  })
  if (!isCounted) return end
  for (const step of indexes) {
    const start = Number(step.segment) < 0 ? starts.at(Number(step.segment)) : undefined
    if (start !== undefined) walk(text, start, step)
  }
  return end
}
