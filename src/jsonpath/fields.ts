import { valueEnd } from '../json/scan.ts'
import { maxPickedFields } from './limits.ts'
import { parseQuery } from './parse.ts'
import { PathFinder, type PathStep } from './paths.ts'
import { Reader } from './reader.ts'
import { singularPath } from './syntax.ts'

/** JSON that was checked when it was stored. */
export type JsonText = string

/** A query for a single value, such as `@.a["b"][0]`; `@` is the value itself. */
export interface FieldPath {
  readonly text: string
  readonly segments: readonly (string | number)[]
}

/** Throws `InvalidExpression`. */
export function parseField(text: string): FieldPath {
  const reader = new Reader(text)
  reader.skipBlanks()
  const field = readField(reader)
  reader.skipBlanks()
  reader.expectEnd('the end of the field')
  return field
}

/** Parses paths with commas between them. Throws `InvalidExpression`. */
export function parseFields(text: string): readonly FieldPath[] {
  const reader = new Reader(text)
  const fields: FieldPath[] = []
  do {
    reader.skipBlanks()
    fields.push(readField(reader))
    if (fields.length > maxPickedFields) {
      reader.fail(`there are at most ${maxPickedFields} fields`, reader.at, maxPickedFields)
    }
    reader.skipBlanks()
  } while (reader.takes(','))
  reader.expectEnd('"," or the end of the fields')
  return fields
}

export function readField(reader: Reader): FieldPath {
  const start = reader.at
  const segments = singularPath(parseQuery(reader))
  if (segments === null)
    return reader.fail('a field is a query for a single value, such as @.a or @["a"][0]', start)
  return { text: reader.text.slice(start, reader.at), segments }
}

const finders = new WeakMap<FieldPath, { finder: PathFinder; step: PathStep }>()

/** Returns the text of the value at a path; undefined where there is nothing. */
export function fieldOf(value: JsonText, path: FieldPath): JsonText | undefined {
  let found = finders.get(path)
  if (found === undefined) {
    const finder = new PathFinder()
    found = { finder, step: finder.add(path.segments) }
    finders.set(path, found)
  }
  found.finder.find(value)
  const { start } = found.step
  return start === -1 ? undefined : value.slice(start, valueEnd(value, start))
}

/**
 * Returns a value that has only what is at these paths: objects with the members that are named, arrays with the elements
 * that are named, in order, and below them the texts of the values as they are stored. `{}` if there is nothing.
 */
export function pick(value: JsonText, paths: readonly FieldPath[]): JsonText {
  return picker(paths)(value)
}

/** Returns a function that does what `pick` does. */
export function picker(paths: readonly FieldPath[]): (value: JsonText) => JsonText {
  const finder = new PathFinder()
  const ends = new Set(paths.map(({ segments }) => finder.add(segments)))
  const root = finder.add([])
  return (value) => {
    finder.find(value)
    return picked(value, root, ends) ?? '{}'
  }
}

/** Returns what was found at and below a step; undefined for nothing. */
function picked(value: JsonText, step: PathStep, ends: ReadonlySet<PathStep>): JsonText | undefined {
  if (step.start === -1) return undefined
  if (ends.has(step)) return value.slice(step.start, valueEnd(value, step.start))
  const members: string[] = []
  for (const next of step.names) {
    const text = picked(value, next, ends)
    if (text !== undefined) members.push(`${JSON.stringify(next.name)}:${text}`)
  }
  if (members.length > 0) return `{${members.join(',')}}`
  const elements: { readonly start: number; readonly text: string }[] = []
  for (const next of step.indexes) {
    const text = picked(value, next, ends)
    // An element can be found by two indexes, from either end.
    if (text !== undefined && elements.every(({ start }) => start !== next.start)) {
      elements.push({ start: next.start, text })
    }
  }
  if (elements.length === 0) return undefined
  const inOrder = elements.sort((a, b) => a.start - b.start).map(({ text }) => text)
  return `[${inOrder.join(',')}]`
}
