import type { ValidateFunction } from 'ajv/dist/2020.js'
import { KvistError } from '../errors.ts'
import { maxSchemaDepth } from '../limits.ts'
import { formatNames } from './formats.ts'
import { patternOf } from './patterns.ts'
import { cut } from './violations.ts'

/**
 * Finds what is wrong with a schema, and where: ajv's own messages do not say where an unknown keyword, a format or a pattern
 * stands, and a typing error in a keyword would make the schema take everything.
 */

/** Throws `invalid_schema` with the JSON pointer to the first fault. */
export function inspectSchema(text: string): void {
  const schema: unknown = JSON.parse(text)
  inspect(schema, '', 0)
  requireMetaSchema(schema)
}

type Kind = 'schema' | 'schemas' | 'map' | 'other'

/** What stands under each keyword: a schema, a list of schemas, schemas by name, or anything else. */
const keywords: ReadonlyMap<string, Kind> = new Map(
  Object.entries({
    schema:
      'additionalProperties items contains not if then else propertyNames unevaluatedItems unevaluatedProperties contentSchema',
    schemas: 'allOf anyOf oneOf prefixItems',
    map: 'properties patternProperties $defs definitions dependentSchemas',
    other:
      '$schema $id $anchor $dynamicAnchor $ref $dynamicRef $comment $vocabulary type enum const multipleOf maximum exclusiveMaximum ' +
      'minimum exclusiveMinimum maxLength minLength pattern maxItems minItems uniqueItems maxContains minContains ' +
      'maxProperties minProperties required dependentRequired format contentEncoding contentMediaType title description ' +
      'default deprecated readOnly writeOnly examples',
  }).flatMap(([kind, names]) => names.split(' ').map((name) => [name, kind as Kind])),
)

const dialect = 'https://json-schema.org/draft/2020-12/schema'

function inspect(schema: unknown, pointer: string, depth: number): void {
  if (depth > maxSchemaDepth) {
    throw fault(pointer, `a schema has at most ${maxSchemaDepth} levels`, { limit: maxSchemaDepth })
  }
  if (typeof schema === 'boolean') return
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw fault(pointer, 'a schema is an object, or true or false')
  }
  for (const [name, value] of Object.entries(schema)) {
    if (name.startsWith('x-')) continue
    const at = `${pointer}/${escaped(name)}`
    const kind = keywords.get(name)
    if (kind === undefined) throw fault(at, `there is no keyword ${JSON.stringify(name.slice(0, 64))}`)
    inspectKeyword(name, value, at)
    for (const [part, where] of partsOf(kind, value, at)) inspect(part, where, depth + 1)
  }
}

function partsOf(kind: Kind, value: unknown, at: string): [part: unknown, pointer: string][] {
  if (kind === 'schema') return [[value, at]]
  if (kind === 'schemas' && Array.isArray(value)) return value.map((part, i) => [part, `${at}/${i}`])
  if (kind !== 'map' || typeof value !== 'object' || value === null) return []
  return Object.entries(value).map(([name, part]) => [part, `${at}/${escaped(name)}`])
}

function inspectKeyword(name: string, value: unknown, at: string): void {
  if (name === '$schema' && value !== dialect && value !== `${dialect}#`) {
    throw fault(at, `the only dialect is ${dialect}`)
  }
  if (name === 'format' && typeof value === 'string' && !formatNames.some((known) => known === value)) {
    throw fault(
      at,
      `there is no format ${JSON.stringify(value.slice(0, 64))}; there are ${formatNames.join(', ')}`,
    )
  }
  if (name === 'pattern' && typeof value === 'string') inspectPattern(value, at)
  if (
    name === 'properties' &&
    typeof value === 'object' &&
    value !== null &&
    Object.hasOwn(value, '__proto__')
  ) {
    throw fault(`${at}/__proto__`, 'no property of this name can be checked')
  }
  if (name !== 'patternProperties' || typeof value !== 'object' || value === null) return
  for (const pattern of Object.keys(value)) inspectPattern(pattern, `${at}/${escaped(pattern)}`)
}

function inspectPattern(pattern: string, at: string): void {
  try {
    patternOf(pattern)
  } catch (error) {
    throw fault(at, error instanceof Error ? error.message : String(error))
  }
}

let metaSchema: ValidateFunction | undefined

/** Throws unless the schema is as the schema of schemas says: above all that keywords have values of the right types. */
function requireMetaSchema(schema: unknown): void {
  const { Ajv2020 }: typeof import('ajv/dist/2020.js') = require('ajv/dist/2020.js')
  metaSchema ??= new Ajv2020({ validateFormats: false, logger: false }).getSchema(dialect)
  if (metaSchema === undefined) throw new Error('ajv has no schema of schemas')
  if (metaSchema(schema)) return
  const [error] = metaSchema.errors ?? []
  const allowed: unknown = error?.params.allowedValues
  const choice = Array.isArray(allowed) ? `: ${allowed.join(', ')}` : ''
  throw fault(error?.instancePath ?? '', `${error?.message ?? 'is not a schema'}${choice}`)
}

function fault(pointer: string, why: string, extra: Readonly<Record<string, unknown>> = {}): KvistError {
  const shown = cut(pointer)
  return new KvistError(
    'invalid_schema',
    `the schema is wrong at ${shown === '' ? 'its root' : shown}: ${cut(why)}`,
    {
      pointer: shown,
      ...extra,
    },
  )
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
