import type { Route } from './route.ts'
import { isAt } from './wire/text.ts'

/** Finds the routes of a path, segment by segment. What is fixed wins over parameters, and these over the rest of a path. */
export interface Router<Handler> {
  match(path: string): Match<Handler> | null
}

/** The routes of one pattern. */
export interface Endpoint<Handler> {
  readonly pattern: string
  readonly methods: Map<string, Handler>
  /** Of the parameters, in their order; `*` for the rest. */
  readonly names: readonly string[]
}

export interface Match<Handler> {
  readonly endpoint: Endpoint<Handler>
  /** The values of its parameters, in the order of their names, not decoded. */
  readonly values: readonly string[]
}

interface Node<Handler> {
  readonly fixed: { readonly name: string; readonly node: Node<Handler> }[]
  parameter: Node<Handler> | null
  /** The parameter's last value where more segments followed: an identical string compares quickly. */
  lastValue: string
  /** What ends here. */
  here: Endpoint<Handler> | null
  /** What takes all that follows. */
  rest: Endpoint<Handler> | null
}

export function routerOf<Handler>(
  routes: readonly Route[],
  handlerOf: (route: Route) => Handler,
): Router<Handler> {
  const root = newNode<Handler>()
  for (const route of routes) {
    const { methods } = endpointOf(root, route.path)
    // What comes first wins, as a dialect's route that falls on one of kvist's own.
    if (!methods.has(route.method)) methods.set(route.method, handlerOf(route))
  }
  return {
    match(path) {
      const values: string[] = []
      const endpoint = path.startsWith('/') ? find(root, path, 1, values) : null
      return endpoint === null ? null : { endpoint, values }
    },
  }
}

function newNode<Handler>(): Node<Handler> {
  return { fixed: [], parameter: null, lastValue: '', here: null, rest: null }
}

/** The endpoint of a pattern, made where it is not there yet. */
function endpointOf<Handler>(root: Node<Handler>, pattern: string): Endpoint<Handler> {
  const segments = pattern.slice(1).split('/')
  const names = segments.filter(isParameter).map((segment) => (segment === '*' ? segment : segment.slice(1)))
  const endpoint: Endpoint<Handler> = { pattern, methods: new Map(), names }
  let node = root
  for (const segment of segments) {
    if (segment === '*') {
      node.rest ??= endpoint
      return same(node.rest, pattern)
    }
    node = childOf(node, segment)
  }
  node.here ??= endpoint
  return same(node.here, pattern)
}

/** Parameters of one endpoint have the same names in all its routes. */
function same<Handler>(endpoint: Endpoint<Handler>, pattern: string): Endpoint<Handler> {
  if (endpoint.pattern === pattern) return endpoint
  throw new Error(`the routes ${endpoint.pattern} and ${pattern} stand for the same paths`)
}

function isParameter(segment: string): boolean {
  return segment === '*' || segment.startsWith(':')
}

function childOf<Handler>(node: Node<Handler>, segment: string): Node<Handler> {
  if (isParameter(segment)) {
    node.parameter ??= newNode()
    return node.parameter
  }
  const known = node.fixed.find(({ name }) => name === segment)
  if (known !== undefined) return known.node
  const child = newNode<Handler>()
  node.fixed.push({ name: segment, node: child })
  return child
}

/** The endpoint of a path from one of its segments on; the values of parameters are added to `values`. */
function find<Handler>(
  node: Node<Handler>,
  path: string,
  from: number,
  values: string[],
): Endpoint<Handler> | null {
  const slash = path.indexOf('/', from)
  const to = slash === -1 ? path.length : slash
  const fixed = fixedAt(node, path, from, to)
  if (fixed !== null) {
    const endpoint = slash === -1 ? fixed.here : find(fixed, path, slash + 1, values)
    if (endpoint !== null) return endpoint
  }
  if (node.parameter !== null && to > from) {
    values.push(slash === -1 ? path.slice(from) : valueAt(node, path, from, to))
    const endpoint = slash === -1 ? node.parameter.here : find(node.parameter, path, slash + 1, values)
    if (endpoint !== null) return endpoint
    values.pop()
  }
  if (node.rest === null) return null
  values.push(path.slice(from))
  return node.rest
}

/** The fixed child of a segment of the path, of which no text is made. */
function fixedAt<Handler>(
  { fixed }: Node<Handler>,
  path: string,
  from: number,
  to: number,
): Node<Handler> | null {
  for (const { name, node } of fixed) if (isAt(path, from, to, name)) return node
  return null
}

function valueAt<Handler>(node: Node<Handler>, path: string, from: number, to: number): string {
  if (!isAt(path, from, to, node.lastValue)) node.lastValue = path.slice(from, to)
  return node.lastValue
}
