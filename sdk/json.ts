import { KvistInputError } from './errors.ts'

/** Writes JSON text, and refuses values that JSON would misrepresent. */

/**
 * Returns the JSON text of a value. Throws a KvistInputError for values that JSON.stringify would silently change: a
 * Map or a Promise into `{}`, NaN into `null`, a function into nothing, bytes into an object of numbers. A property
 * that is `undefined` is left out, as JSON.stringify does.
 */
export function jsonOf(value: unknown, name = 'the value'): string {
  let text: string | undefined
  let fault: Fault | null
  try {
    text = JSON.stringify(value)
    fault = faultOf(value) // it is a tree, or JSON.stringify would have thrown, so this ends
  } catch (cause) {
    throw new KvistInputError(`${name} cannot be written as JSON: ${whyNotWritten(cause)}`, { cause })
  }
  if (fault !== null) throw new KvistInputError(`${name}${fault.path} is ${fault.what}`)
  if (text === undefined) throw new KvistInputError(`${name} has a toJSON that returns nothing`)
  return text
}

function whyNotWritten(cause: unknown): string {
  if (cause instanceof RangeError) return 'it is nested too deeply'
  return cause instanceof Error ? (cause.message.split('\n', 1)[0] ?? '') : String(cause)
}

/** A part of a value that JSON cannot represent. */
interface Fault {
  /** The path from the value to the part, as a JavaScript expression. */
  readonly path: string
  readonly what: string
}

function faultOf(value: unknown): Fault | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null
    case 'number':
      return Number.isFinite(value) ? null : { path: '', what: `${value}, which JSON does not have` }
    case 'object':
      return value === null ? null : objectFault(value)
    default:
      return { path: '', what: `${nameOfType(value)}, which JSON does not have` }
  }
}

function nameOfType(value: unknown): string {
  return value === undefined ? 'undefined' : `a ${typeof value}`
}

function objectFault(value: object): Fault | null {
  if (ArrayBuffer.isView(value)) return { path: '', what: 'bytes, which cannot stand inside of JSON' }
  if (!('toJSON' in value) || typeof value.toJSON !== 'function') return contentFault(value)
  if (value instanceof Date && Number.isNaN(value.getTime()))
    return { path: '', what: 'a Date that is no time' }
  const replacement: unknown = value.toJSON('')
  const isObject = typeof replacement === 'object' && replacement !== null
  return isObject ? contentFault(replacement) : faultOf(replacement) // a toJSON of the replacement is not called
}

function contentFault(value: object): Fault | null {
  if (Array.isArray(value)) return arrayFault(value)
  const isPlain = isPrototypeOfPlain(Object.getPrototypeOf(value))
  const lost = isPlain ? null : lostInstance(value)
  return lost === null ? propertiesFault(value) : { path: '', what: lost }
}

function arrayFault(value: readonly unknown[]): Fault | null {
  for (let i = 0; i < value.length; i++) {
    const fault = faultOf(value[i])
    if (fault !== null) return { path: `[${i}]${fault.path}`, what: fault.what }
  }
  return null
}

function propertiesFault(value: object): Fault | null {
  for (const [name, property] of Object.entries(value)) {
    const fault = property === undefined ? null : faultOf(property)
    if (fault !== null) return { path: `${propertyPath(name)}${fault.path}`, what: fault.what }
  }
  return null
}

function propertyPath(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`
}

/** Returns whether it is the prototype of plain objects, also in another realm: of a frame, or of Node's vm. */
function isPrototypeOfPlain(prototype: object | null): boolean {
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** JSON.stringify writes the primitive value of these objects. */
const boxed = new Set(['[object String]', '[object Boolean]', '[object Number]'])
/** The content of these objects is not in their properties, even if they have some. */
const opaque = new Set(['[object Map]', '[object Set]', '[object Error]', '[object Promise]'])

/** Returns a description of an instance whose content JSON.stringify would lose; null if it would lose nothing. */
function lostInstance(value: object): string | null {
  const tag = Object.prototype.toString.call(value)
  if (boxed.has(tag)) return faultOf(value.valueOf())?.what ?? null
  if (!opaque.has(tag) && Object.keys(value).length > 0) return null
  return `a ${value.constructor?.name || 'object'}, of which JSON would keep nothing`
}
