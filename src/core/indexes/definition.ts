import { createHash } from 'node:crypto'
import { type FieldPath, parseField } from '../../jsonpath/fields.ts'
import { KvistError } from '../errors.ts'
import { maxIndexes, maxIndexFields, maxIndexNameBytes } from '../limits.ts'

/** An index, as the settings of its collection define it. */
export interface IndexDefinition {
  readonly name: string
  /** The fields whose values order the entries, the first one first. */
  readonly on: readonly FieldPath[]
  /** No two members may have the same values in all of the fields. */
  readonly unique: boolean
}

const nameForm = /^[A-Za-z0-9_-]+$/

/** Parses `[{"name", "on": ["@.field", …], "unique"?}, …]`, or null for none. Throws `invalid_request`. */
export function parseIndexes(given: unknown): readonly IndexDefinition[] {
  if (given === null) return []
  if (!Array.isArray(given)) throw invalid('"indexes" is a list, or null for none')
  if (given.length > maxIndexes) {
    throw invalid(`a collection has at most ${maxIndexes} indexes`, { limit: maxIndexes })
  }
  const indexes = given.map((one: unknown) => parseIndex(one))
  const names = new Set<string>()
  for (const { name } of indexes) {
    if (names.has(name)) throw invalid(`there are two indexes with the name ${name}`)
    names.add(name)
  }
  return indexes
}

/** What the server shows of an index beside its definition: it is accepted, so that what was read can be sent back. */
const shown = new Set(['state', 'examined', 'failure'])

function parseIndex(given: unknown): IndexDefinition {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw invalid('an index is an object such as {"name": "by_country", "on": ["@.country"]}')
  }
  const { name, on, unique = false, ...others } = given as Record<string, unknown>
  if (typeof name !== 'string' || !nameForm.test(name) || name.length > maxIndexNameBytes) {
    throw invalid(`the "name" of an index is 1 to ${maxIndexNameBytes} letters, digits, "_" and "-" of ASCII`)
  }
  const other = Object.keys(others).find((key) => !shown.has(key))
  if (other !== undefined) {
    throw invalid(
      `index ${name}: there is no ${JSON.stringify(other.slice(0, 64))}; known are name, on, unique`,
    )
  }
  if (typeof unique !== 'boolean') throw invalid(`index ${name}: "unique" is true or false`)
  return { name, on: parseFields(name, on), unique }
}

function parseFields(name: string, given: unknown): readonly FieldPath[] {
  const texts: readonly unknown[] = Array.isArray(given) ? given : []
  if (texts.length === 0 || texts.length > maxIndexFields) {
    throw invalid(`index ${name}: "on" is a list of 1 to ${maxIndexFields} fields such as "@.country"`, {
      limit: maxIndexFields,
    })
  }
  const fields = texts.map((text) => parseOne(name, text))
  if (new Set(fields.map(canonicalField)).size < fields.length) {
    throw invalid(`index ${name}: a field is named twice`)
  }
  return fields
}

function parseOne(name: string, text: unknown): FieldPath {
  if (typeof text !== 'string') throw invalid(`index ${name}: a field is a text such as "@.country"`)
  try {
    return parseField(text)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new KvistError('invalid_request', `index ${name}: ${why}`, { index: name }, error)
  }
}

/** A text that is the same for fields that are written in different ways. */
function canonicalField({ segments }: FieldPath): string {
  return JSON.stringify(segments)
}

function invalid(detail: string, extra: Readonly<Record<string, unknown>> = {}): KvistError {
  return new KvistError('invalid_request', detail, extra)
}

/** An index of a collection, and where its entries are. */
export interface Index extends IndexDefinition {
  /** The collection whose members it orders. */
  readonly of: string
  /** Another one for every other definition, so that entries of a former index are never taken for its own. */
  readonly id: string
  /** The collection of kvist's own that holds its entries. */
  readonly entries: string
  /** The bytes of each value that are encoded in an entry's key. */
  readonly maxValueBytes: number
}

const entriesPrefix = '_index-'
/** Of UTF-8, of all values of an entry together; they can take twice as much where characters are escaped. */
const maxEncodedBytes = 160

export function indexOf(of: string, definition: IndexDefinition): Index {
  const { name, on, unique } = definition
  const id = createHash('sha256')
    .update(JSON.stringify([of, name, unique, ...on.map(canonicalField)]))
    .digest('hex')
    .slice(0, 32)
  const maxValueBytes = Math.floor(maxEncodedBytes / on.length)
  return { ...definition, of, id, entries: entriesPrefix + id, maxValueBytes }
}

/** Returns the id of the index whose entries a collection holds; null for other collections. */
export function idOfEntries(collection: string): string | null {
  return collection.startsWith(entriesPrefix) ? collection.slice(entriesPrefix.length) : null
}

/** Returns the definition as settings store it. */
export function definitionJson({ name, on, unique }: IndexDefinition) {
  return { name, on: on.map(({ text }) => text), ...(unique ? { unique } : {}) }
}
