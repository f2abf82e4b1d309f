import { KvistError } from '../core/errors.ts'
import { compressedOnce } from './compression.ts'
import {
  entranceCodes,
  entranceWords,
  securityOf,
  securitySchemes,
  usualSecurity,
} from './openapi-security.ts'
import {
  type HeaderDocs,
  type MediaTypeDocs,
  named,
  nameOf,
  type OperationDocs,
  type Parameter,
  type ResponseDocs,
  type Schema,
  serverTag,
  type Tag,
} from './operation.ts'
import { problemOf, statusOf } from './problem.ts'
import { responseOf } from './response.ts'
import type { Route } from './route.ts'

/**
 * Builds the API's document, OpenAPI 3.1, from the routes that serve the requests, so that document and server agree.
 * Routes bring their own descriptions (operation.ts); one without is described by its path and summary.
 */
export interface DocumentOptions {
  readonly version: string
  readonly needsToken: boolean
}

type Json = Readonly<Record<string, unknown>>

const problem: Schema = named('Problem', {
  type: 'object',
  description:
    'Problem details, RFC 9457. More members may say more: a limit that was passed, a current revision',
  required: ['type', 'title', 'status', 'code'],
  properties: {
    type: { type: 'string', format: 'uri', examples: ['urn:kvist:not_found'] },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', description: 'Stable; what programs should look at', examples: ['not_found'] },
    detail: { type: 'string', description: 'What was wrong, for people' },
    request_id: { type: 'string', description: 'With 500 and more: under which the log has it' },
  },
})

export function openApiDocument(routes: readonly Route[], options: DocumentOptions): Json {
  const tags = new Map<string, Tag>()
  const ids = new Set<string>()
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const path = documentedPath(route, routes)
    const method = route.method.toLowerCase()
    paths[path] ??= {}
    // A route for keys with slashes is the same operation as the one for keys without.
    if (paths[path][method] !== undefined) continue
    const tag = route.tag ?? tagOf(path)
    tags.set(tag.name, tag)
    const operation = operationOf(route, path, tag, freeId(route, path, ids), options)
    paths[path][method] = operation
    if (route.docs?.head !== undefined) paths[path].head = headOf(operation, route.docs.head)
  }
  const schemas: Record<string, unknown> = {}
  const referring = withReferences(paths, schemas)
  return {
    openapi: '3.1.0',
    info: {
      title: 'kvist',
      version: options.version,
      summary: 'A key-value store that speaks HTTP',
      description:
        'Errors are problem details (RFC 9457), except in the dialects, which respond as their stores do. Lists and pages are compressed as `Accept-Encoding` asks.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'This server' }],
    tags: [...tags.values()],
    security: usualSecurity(options.needsToken),
    paths: referring,
    components: { schemas, securitySchemes },
  }
}

/** Turns `:name` into `{name}`. The rest of a path (`*`) gets the name of the single segment in the matching route. */
function documentedPath({ path }: Route, routes: readonly Route[]): string {
  const stem = path.endsWith('/*') ? path.slice(0, -1) : null
  const twin = routes.find((other) => stem !== null && other.path.startsWith(`${stem}:`))
  const rest = twin !== undefined && !twin.path.slice(stem!.length).includes('/') ? twin.path : `${stem}:rest`
  return (stem === null ? path : rest).replace(/:([^/]+)/g, '{$1}')
}

function tagOf(path: string): Tag {
  const [first = '', second] = path.split('/').slice(1)
  const name = first === 'dialects' && second !== undefined ? second : first
  return { name: name || 'root', description: `Paths of ${name || 'the root'}` }
}

/** Returns a unique operation id: the route's own id for its first mount, one made of method and path for others. */
function freeId({ method, docs }: Route, path: string, taken: Set<string>): string {
  const words = path.match(/[A-Za-z0-9]+/g) ?? ['root']
  const made = method.toLowerCase() + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('')
  const id = [docs?.id, made].find((one) => one !== undefined && !taken.has(one)) ?? `${made}${taken.size}`
  taken.add(id)
  return id
}

function operationOf(
  route: Route,
  path: string,
  tag: Tag,
  operationId: string,
  { needsToken }: DocumentOptions,
): Json {
  const { summary, docs } = route
  return {
    operationId,
    tags: [tag.name],
    summary,
    ...(docs?.description === undefined ? {} : { description: docs.description }),
    ...securityOf(route, needsToken),
    ...parametersOf(docs, path),
    ...(docs?.body === undefined ? {} : { requestBody: { required: true, ...docs.body } }),
    responses: responsesOf(route, entranceCodes(route, needsToken)),
  }
}

/**
 * Returns the parameters of a route. Path parameters that are not described are added, as the document would be invalid
 * without them.
 */
function parametersOf(docs: OperationDocs | undefined, path: string): Json {
  const described: readonly Parameter[] = docs?.parameters ?? []
  const names = Array.from(path.matchAll(/\{([^}]+)\}/g), ([, name = '']) => name)
  const inPath = names.map(
    (name) =>
      described.find((one) => one.in === 'path' && one.name === name) ?? {
        in: 'path',
        name,
        schema: { type: 'string' },
      },
  )
  const parameters = [
    ...inPath.map((one) => ({ ...one, required: true })),
    ...described.filter((one) => one.in !== 'path'),
  ]
  return parameters.length === 0 ? {} : { parameters }
}

/** Responses of a route without `docs`. */
const plainResponses: Json = {
  '2XX': { description: 'Done' },
  '4XX': { description: 'Refused' },
  '5XX': { description: 'Failed' },
}

type Code = KvistError['code']

function responsesOf({ docs, api }: Route, entrance: readonly Code[]): Json {
  if (docs === undefined) return plainResponses
  const { responses, problems = [], problemHeaders: more = {} } = docs
  // An API with its own error format documents its errors itself.
  if (api !== undefined) {
    const refused = Map.groupBy(entrance, statusOf)
    const described = [...refused].map(([status, codes]) => {
      const words = codes.map((code) => entranceWords[code])
      return [status, { description: words.join('. ') }]
    })
    return { ...Object.fromEntries(described), ...responses }
  }
  const codes = [...entrance, ...problems]
  const failed: Record<number, ResponseDocs> = {}
  for (const status of new Set(codes.map(statusOf))) {
    failed[status] = problemResponse(
      status,
      codes.filter((code) => statusOf(code) === status),
      more[status],
    )
  }
  return { ...failed, 500: problemResponse(500, [null]), ...responses }
}

/** Documents the response to errors with one status; null is an unexpected error. */
function problemResponse(
  status: number,
  codes: readonly (Code | null)[],
  headers: Readonly<Record<string, HeaderDocs>> = {},
): ResponseDocs {
  const examples = codes.map((code) => {
    const { title, detail, ...more } = problemOf(code === null ? null : new KvistError(code, '…'))
    return [more.code, { summary: String(title), value: { title, ...more, detail } }] as const
  })
  const content: MediaTypeDocs = { schema: problem, examples: Object.fromEntries(examples) }
  return {
    description: examples.map(([code, { summary }]) => `${summary} (\`${code}\`)`).join(', '),
    headers: { ...problemHeaders(status), ...headers },
    content: { 'application/problem+json': content },
  }
}

function problemHeaders(status: number): Record<string, HeaderDocs> {
  const schema = { type: 'string' }
  return {
    ...(status === 307
      ? {
          Location: { description: 'The same path and query at the leader', schema },
          'Kvist-Leader': { description: 'The URL of the leader', schema },
        }
      : {}),
    ...(status === 401 ? { 'WWW-Authenticate': { description: 'What is wanted: `Bearer`', schema } } : {}),
    ...(status === 415
      ? {
          'Accept-Encoding': {
            description: 'Where the coding of the body is not taken: those that are',
            schema,
          },
        }
      : {}),
    ...(status === 429 ? rateHeaders : {}),
    ...(status > 500 || status === 429
      ? { 'Retry-After': { description: 'Seconds after which it may go through', schema } }
      : {}),
    ...(status >= 500
      ? { 'X-Request-Id': { description: 'The name of the request in the log', schema } }
      : {}),
  }
}

const rateHeaders: Readonly<Record<string, HeaderDocs>> = {
  RateLimit: {
    description:
      'How many requests are left, and for how many seconds no more than those. Other responses have it too',
    schema: { type: 'string' },
    example: '"default";r=0;t=1',
  },
  'RateLimit-Policy': {
    description: 'How many requests are allowed in how many seconds',
    schema: { type: 'string' },
    example: '"default";q=200;w=1',
  },
}

/** Returns the operation of HEAD: that of GET without the bodies of its responses. */
function headOf(operation: Json, summary: string): Json {
  const bare = Object.entries(operation.responses as Record<string, ResponseDocs>).map(
    ([status, response]) => {
      const { content, ...rest } = response
      return [status, rest]
    },
  )
  return {
    ...operation,
    operationId: `head${String(operation.operationId).replace(/^get/, '')}`,
    summary,
    responses: Object.fromEntries(bare),
  }
}

/** Returns a copy of the data with every named schema replaced by a reference, and adds those schemas to `schemas`. */
function withReferences(given: unknown, schemas: Record<string, unknown>): unknown {
  if (typeof given !== 'object' || given === null) return given
  if (Array.isArray(given)) return given.map((one) => withReferences(one, schemas))
  const copy = () =>
    Object.fromEntries(Object.entries(given).map(([name, one]) => [name, withReferences(one, schemas)]))
  const name = nameOf(given)
  if (name === undefined) return copy()
  schemas[name] ??= copy()
  return { $ref: `#/components/schemas/${name}` }
}

/**
 * Returns the route `/openapi.json`. The document is built at its first request, from all routes including this one.
 */
export function openApiRoutes(routes: () => readonly Route[], options: DocumentOptions): Route[] {
  let text: string | undefined
  const document = () => {
    text ??= JSON.stringify(openApiDocument(routes(), options))
    return text
  }
  const send = compressedOnce(document, (body) =>
    responseOf(200, { 'Content-Type': 'application/json', Vary: 'Accept-Encoding' }, body),
  )
  return [
    {
      method: 'GET',
      path: '/openapi.json',
      summary: 'This document',
      tag: serverTag,
      access: 'open',
      docs: {
        responses: {
          200: {
            description: 'OpenAPI 3.1',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
        },
      },
      handle: send,
    },
  ]
}
