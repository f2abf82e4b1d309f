import type { IndexSettings, JsonSchema, Settings } from 'kvist-client'

/** The settings of a collection as fields of a form, both ways. Settings that the form does not show stay as they are. */
export interface SettingsFields {
  defaultTtl: string
  sliding: boolean
  processes: string
  maxMembers: string
  maxBytes: string
  maxValueBytes: string
  /** JSON; empty for none. */
  schema: string
}

export type FieldErrors = Partial<Record<keyof SettingsFields, string>>

const units: readonly (readonly [seconds: number, unit: string])[] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'm'],
  [1, 's'],
]

const binaryUnits = ['', 'KiB', 'MiB', 'GiB', 'TiB'] as const

const durationForm = /^\d{1,10}[smhd]?$/
const sizeForm = /^\d{1,15}(\.\d{1,6})? ?([kmgt]i?)?b?$/i
const countForm = /^[1-9]\d{0,14}$/

export function fieldsOf(settings: Settings): SettingsFields {
  return {
    defaultTtl: shownDuration(settings.default_ttl),
    sliding: settings.sliding,
    processes: settings.processes?.join(', ') ?? '',
    maxMembers: shown(settings.max_members),
    maxBytes: shownSize(settings.max_bytes),
    maxValueBytes: shownSize(settings.max_value_bytes),
    schema: settings.schema === null ? '' : JSON.stringify(settings.schema, null, 2),
  }
}

/** Returns the fields after a change of the settings: those that the person has changed since they were `before` stay. */
export function rebased(fields: SettingsFields, before: SettingsFields, now: Settings): SettingsFields {
  const old = new Map<string, unknown>(Object.entries(before))
  const changed = Object.entries(fields).filter(([name, field]) => field !== old.get(name))
  return { ...fieldsOf(now), ...Object.fromEntries(changed) }
}

/** Returns what is wrong with fields, in a person's words; empty if nothing is. */
export function errorsOf(fields: SettingsFields): FieldErrors {
  const errors: FieldErrors = {}
  const ttl = fields.defaultTtl.trim()
  const size = 'A number of bytes, or a size like 64MiB.'
  if (ttl !== '' && !durationForm.test(ttl))
    errors.defaultTtl = 'Seconds, or a time like 90s, 15m, 12h or 7d.'
  if (fields.sliding && ttl === '') errors.sliding = 'A read renews by the time to live: set one.'
  if (fields.maxMembers.trim() !== '' && !countForm.test(fields.maxMembers.trim()))
    errors.maxMembers = 'A whole number above zero.'
  if (fields.maxBytes.trim() !== '' && !sizeForm.test(fields.maxBytes.trim())) errors.maxBytes = size
  if (fields.maxValueBytes.trim() !== '' && !sizeForm.test(fields.maxValueBytes.trim()))
    errors.maxValueBytes = size
  const schema = faultOfSchema(fields.schema)
  if (schema !== null) errors.schema = schema
  return errors
}

/** Returns the settings with what the fields say. */
export function settingsOf(before: Settings, fields: SettingsFields): Settings {
  const processes = fields.processes.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]))
  const ttl = fields.defaultTtl.trim()
  return {
    ...withIndexes(before, before.indexes),
    default_ttl: ttl === '' ? null : /^\d+$/.test(ttl) ? Number(ttl) : ttl,
    sliding: fields.sliding,
    processes: processes.length === 0 ? null : processes,
    max_members: fields.maxMembers.trim() === '' ? null : Number(fields.maxMembers),
    max_bytes: sizeOf(fields.maxBytes),
    max_value_bytes: sizeOf(fields.maxValueBytes),
    schema: fields.schema.trim() === '' ? null : parseSchema(fields.schema),
  }
}

/** Returns what is wrong with a schema before the server sees it: whether it can be one at all. */
function faultOfSchema(text: string): string | null {
  if (text.trim() === '') return null
  try {
    parseSchema(text)
    return null
  } catch (error) {
    return error instanceof SyntaxError
      ? `This is not JSON: ${error.message}.`
      : 'A schema is an object, true or false.'
  }
}

/** Parses a schema. Throws a SyntaxError, or a TypeError if it is JSON of another kind. */
function parseSchema(text: string): JsonSchema {
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed === 'boolean') return parsed
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new TypeError()
  return parsed as { readonly [keyword: string]: unknown }
}

/** Returns settings with these indexes, without what only the server says of them. */
export function withIndexes(settings: Settings, indexes: readonly IndexSettings[]): Settings {
  return {
    ...settings,
    indexes: indexes.map(({ name, on, unique }) => ({ name, on, ...(unique ? { unique } : {}) })),
  }
}

function sizeOf(text: string): number | string | null {
  const given = text.trim()
  if (given === '') return null
  return /^\d+$/.test(given) ? Number(given) : given
}

function shown(value: number | string | null): string {
  return value === null ? '' : String(value)
}

function shownDuration(value: number | string | null): string {
  if (typeof value !== 'number') return value ?? ''
  const [seconds, unit] = units.find(([size]) => value % size === 0) ?? [1, 's']
  return `${value / seconds}${unit}`
}

function shownSize(value: number | string | null): string {
  if (typeof value !== 'number') return value ?? ''
  let size = value
  let unit = 0
  while (size >= 1024 && size % 1024 === 0 && unit < binaryUnits.length - 1) {
    size /= 1024
    unit++
  }
  return `${size}${binaryUnits[unit]}`
}
