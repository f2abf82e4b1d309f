/** The requests that the OpenAPI document of the server describes, as the workbench uses them: pure. */

export const methods = ['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'] as const
export type Method = (typeof methods)[number]

export interface Parameter {
  readonly name: string
  readonly location: 'path' | 'query' | 'header'
  readonly description: string
  readonly isRequired: boolean
  /** The values that there are; empty for any. */
  readonly choices: readonly string[]
}

export interface Operation {
  readonly method: Method
  /** `/v1/{collection}/{key}` */
  readonly path: string
  readonly summary: string
  readonly parameters: readonly Parameter[]
  /** The content types of its body, the usual one first; empty without a body. */
  readonly bodyTypes: readonly string[]
  /** A body of the usual type, to show how one looks; empty if the document has none. */
  readonly bodyExample: string
}

/** Returns the operations of `/v1` and those about the server, members first, from the parsed document. */
export function operationsOf(document: unknown): readonly Operation[] {
  const operations: Operation[] = []
  for (const [path, item] of entriesOf(fieldOf(document, 'paths'))) {
    if (path.startsWith('/console') || path.startsWith('/docs')) continue
    for (const method of methods) {
      const operation = fieldOf(item, method.toLowerCase())
      if (operation !== undefined) operations.push(operationOf(method, path, operation))
    }
  }
  return operations.sort((a, b) => rankOf(a) - rankOf(b))
}

/** Members, then lists and collections, then the rest of /v1, then the server and the dialects. */
function rankOf({ path }: Operation): number {
  if (path === '/v1/{collection}/{key}') return 0
  if (path === '/v1/{collection}') return 1
  if (path === '/v1') return 2
  if (path.startsWith('/v1/')) return 3
  return path.startsWith('/dialects/') ? 5 : 4
}

function operationOf(method: Method, path: string, operation: unknown): Operation {
  const parameters = listOf(fieldOf(operation, 'parameters')).flatMap(parameterOf)
  const content = fieldOf(fieldOf(operation, 'requestBody'), 'content')
  return {
    method,
    path,
    summary: textOf(fieldOf(operation, 'summary')),
    parameters,
    bodyTypes: entriesOf(content).map(([type]) => type),
    bodyExample: exampleOf(entriesOf(content)[0]?.[1]),
  }
}

/** A media type has its example itself, or one of several by name, or in its schema. */
function exampleOf(media: unknown): string {
  const [, named] = entriesOf(fieldOf(media, 'examples'))[0] ?? []
  const schema = fieldOf(media, 'schema')
  const example =
    fieldOf(media, 'example') ?? fieldOf(named, 'value') ?? listOf(fieldOf(schema, 'examples'))[0]
  if (example === undefined) return ''
  return typeof example === 'string' ? example : JSON.stringify(example, null, 2)
}

function parameterOf(parameter: unknown): Parameter[] {
  const location = fieldOf(parameter, 'in')
  if (location !== 'path' && location !== 'query' && location !== 'header') return []
  const schema = fieldOf(parameter, 'schema')
  return [
    {
      name: textOf(fieldOf(parameter, 'name')),
      location,
      description: textOf(fieldOf(parameter, 'description')).replaceAll('`', ''),
      isRequired: fieldOf(parameter, 'required') === true,
      choices: listOf(fieldOf(schema, 'enum')).map(String),
    },
  ]
}

/** Returns the operations that match what was typed, the best first: a method, parts of a path, or words of a summary. */
export function searched(operations: readonly Operation[], typed: string): readonly Operation[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  return operations.filter(({ method, path, summary }) => {
    const text = `${method} ${path} ${summary}`.toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

/** Returns the operation of a method and a path, with the values of its path parameters; null if there is none. */
export function matched(
  operations: readonly Operation[],
  method: Method,
  path: string,
): { readonly operation: Operation; readonly values: Readonly<Record<string, string>> } | null {
  for (const exact of [true, false]) {
    for (const operation of operations) {
      if (operation.method !== method || operation.path.includes('{') === exact) continue
      const values = pathValuesIn(operation.path, path)
      if (values !== null) return { operation, values }
    }
  }
  return null
}

/** A key takes the rest of a path. */
function pathValuesIn(template: string, path: string): Record<string, string> | null {
  const wanted = template.split('/')
  const given = path.split('/')
  const takesRest = template.endsWith('{key}')
  if (takesRest ? given.length < wanted.length : given.length !== wanted.length) return null
  const values: Record<string, string> = {}
  for (const [i, part] of wanted.entries()) {
    const name = /^\{(.*)\}$/.exec(part)?.[1]
    const isRest = takesRest && i === wanted.length - 1
    const found = isRest ? given.slice(i).join('/') : given[i]!
    // A name that begins with _ is one of kvist's own paths, and no collection.
    if (name === undefined ? found !== part : found === '' || (i === 2 && found.startsWith('_'))) return null
    if (name !== undefined) values[name] = decoded(found)
  }
  return values
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What a person fills in. */
export interface RequestDraft {
  readonly method: Method
  /** With its query; path parameters that are not filled in are there in braces. */
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** Returns the names of the path parameters of a target that are not filled in. */
export function missingIn(target: string): readonly string[] {
  return [...pathOf(target).matchAll(/\{([^}]*)\}/g)].map(([, name]) => name!)
}

export function pathOf(target: string): string {
  return target.split('?', 1)[0]!
}

export function queryOf(target: string): URLSearchParams {
  return new URLSearchParams(target.slice(pathOf(target).length))
}

/** Returns the target with a path parameter filled in, or emptied. */
export function withPathValue(operation: Operation, target: string, name: string, value: string): string {
  const values = { ...pathValuesIn(operation.path, pathOf(target)), [name]: value }
  const path = operation.path.replaceAll(/\{([^}]*)\}/g, (hole, one: string) => {
    const filled = values[one] ?? ''
    return filled === '' || filled === hole ? hole : encoded(filled, one === 'key')
  })
  return path + target.slice(pathOf(target).length)
}

/** A slash of a key may stand as it is, where no part of the key is one that browsers resolve. */
function encoded(value: string, isKey: boolean): string {
  const parts = value.split('/')
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..')
  return isKey && isPlain ? parts.map(encodeURIComponent).join('/') : encodeURIComponent(value)
}

/** Returns the target with a parameter of its query; without it for an empty value. */
export function withQuery(target: string, name: string, value: string): string {
  const query = queryOf(target)
  if (value === '') query.delete(name)
  else query.set(name, value)
  return query.size === 0 ? pathOf(target) : `${pathOf(target)}?${query}`
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
