import { BoundedCache } from '../bounded-cache.ts'
import { KvistError } from '../errors.ts'
import { maxCompiledSchemaBytes, maxSchemaBytes } from '../limits.ts'
import type { Value } from '../member.ts'
import { compile, type ValueCheck } from './compile.ts'
import { inspectSchema } from './inspect.ts'
import type { Violation } from './violations.ts'

/**
 * JSON Schemas (2020-12) that the values of a collection must match: docs/schema.md, docs/design/schema.md. A schema is
 * kept as the text of its JSON, and compiled when the first value is checked.
 */

/** Returns the text of a schema of the settings; null for none. Throws `invalid_schema`. */
export function parseSchema(given: unknown): string | null {
  if (given === null || given === undefined) return null
  if (typeof given !== 'boolean' && (typeof given !== 'object' || Array.isArray(given))) {
    throw new KvistError('invalid_schema', '"schema" is a JSON Schema: an object, or true or false', {
      pointer: '',
    })
  }
  const text = JSON.stringify(given)
  const bytes = Buffer.byteLength(text)
  if (bytes > maxSchemaBytes) {
    throw new KvistError('invalid_schema', `a schema has at most ${maxSchemaBytes} bytes, not ${bytes}`, {
      pointer: '',
      limit: maxSchemaBytes,
    })
  }
  return text
}

/** Throws `invalid_schema`, with the JSON pointer to what is wrong, unless values can be checked against the schema. */
export function requireSchema(text: string): void {
  inspectSchema(text)
  compile(text).probe()
}

/** Schemas that were compiled and used last. Each takes some 100 times the memory of its text, so not all are kept. */
const compiled = new BoundedCache<{ readonly bytes: number; readonly check: ValueCheck }>(
  maxCompiledSchemaBytes,
)
const smallestBytes = 32 * 1024
const bytesPerByte = 40

/**
 * Returns how a value breaks a schema, null if it doesn't. A value that isn't JSON breaks every schema but `true`. Throws
 * `invalid_schema` for a schema that did not pass `requireSchema`, as one that a newer server stored.
 */
export function violationsOf(text: string, value: Value): readonly Violation[] | null {
  if (text === 'true') return null
  if (typeof value !== 'string') return [{ pointer: '', keyword: 'json', reason: 'must be JSON' }]
  let entry = compiled.get(text)
  if (entry === undefined) {
    entry = { check: compile(text), bytes: smallestBytes + text.length * bytesPerByte }
    compiled.set(text, entry)
  }
  return entry.check.violations(value)
}
