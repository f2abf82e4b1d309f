import type { ErrorCode } from '../core/errors.ts'

/**
 * What the API's document says of a route beyond its path and summary: data beside the route, which `openapi.ts` puts
 * into OpenAPI's form. Nothing here changes what a request does.
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
  /** Errors that it returns as problem details; a wrong token needs no mention. */
  readonly problems?: readonly ErrorCode[]
  /** What they carry beside the usual, by status. */
  readonly problemHeaders?: Readonly<Record<number, Readonly<Record<string, HeaderDocs>>>>
  /** The summary of HEAD, where that is worth its own entry. */
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
  /** Missing: there must be one. */
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

/** Gives a schema a name: the document has it once, under its components, and refers to it wherever it is used. */
export function named(name: string, schema: Schema): Schema {
  names.set(schema, name)
  return schema
}

export function nameOf(schema: object): string | undefined {
  return names.get(schema)
}
