import type { ErrorCode } from '../core/errors.ts'

/**
 * Documentation of a route beyond its path and summary. `openapi.ts` turns it into OpenAPI; it has no effect on
 * requests.
 */
export interface OperationDocs {
  /** Short and unique, for generated clients; made of method and path when it is missing. */
  readonly id?: string
  /** CommonMark. */
  readonly description?: string
  readonly parameters?: readonly Parameter[]
  readonly body?: Body
  /** By status. */
  readonly responses: Readonly<Record<number, ResponseDocs>>
  /** Errors returned as problem details, except those for a wrong token. */
  readonly problems?: readonly ErrorCode[]
  /** Additional headers of those errors, by status. */
  readonly problemHeaders?: Readonly<Record<number, Readonly<Record<string, HeaderDocs>>>>
  /** The summary of HEAD, where HEAD has its own entry. */
  readonly head?: string
}

/** A group of routes in the document. */
export interface Tag {
  readonly name: string
  readonly description: string
}

export const serverTag: Tag = {
  name: 'server',
  description: 'Health, metrics, and what this API is',
}

export interface Parameter {
  readonly in: 'path' | 'query' | 'header'
  readonly name: string
  readonly description: string
  readonly schema: Schema
  readonly example?: unknown
  /** Path parameters always are. */
  readonly required?: true
}

export interface Body {
  readonly description?: string
  /** Missing: the body is required. */
  readonly required?: false
  /** By media type. */
  readonly content: Readonly<Record<string, MediaTypeDocs>>
}

export interface ResponseDocs {
  readonly description: string
  readonly headers?: Readonly<Record<string, HeaderDocs>>
  /** By media type; missing for a response without a body. */
  readonly content?: Readonly<Record<string, MediaTypeDocs>>
}

export interface HeaderDocs {
  readonly description: string
  readonly schema: Schema
  readonly example?: unknown
}

export interface MediaTypeDocs {
  readonly schema: Schema
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, { readonly summary: string; readonly value: unknown }>>
}

/** JSON Schema 2020-12. */
export interface Schema {
  readonly [keyword: string]: unknown
}

const names = new WeakMap<object, string>()

/** Names a schema: the document lists it once under its components and refers to it elsewhere. */
export function named(name: string, schema: Schema): Schema {
  names.set(schema, name)
  return schema
}

export function nameOf(schema: object): string | undefined {
  return names.get(schema)
}
