import type { Route } from './route.ts'
import { isAt } from './wire/text.ts'

/**
 * Matches a path to its routes, segment by segment. Fixed segments take precedence over parameters, and parameters over
 * the rest of a path.
 */
export interface Router<Handler> {
  match(path: string): Match<Handler> | null
}

/** The routes of one pattern. */
export interface Endpoint<Handler> {
  readonly pattern: string
  readonly methods: Map<string, Handler>
  /** The names of the parameters in order; `*` for the rest. */
  readonly names: readonly string[]
}

export interface Match<Handler> {
  readonly endpoint: Endpoint<Handler>
  /** The values of its parameters, in the order of their names, not decoded. */
  readonly values: readonly string[]
}

interface FixedChild<Handler> {
  readonly name: string
  readonly node: Node<Handler>
}

interface Node<Handler> {
  /** The fixed children by the length of their names, so that a parameter is compared with few of them. */
  readonly fixed: (FixedChild<Handler>[] | undefined)[]
  parameter: Node<Handler> | null
  /** The last value of the parameter when more segments followed: comparing identical strings is fast. */
  lastValue: string
  /** The endpoint of patterns that end at this node. */
  here: Endpoint<Handler> | null
  /** The endpoint of patterns that end with `*` after this node. */
  rest: Endpoint<Handler> | null
}

export function routerOf<Handler>(
  routes: readonly Route[],
  handlerOf: (route: Route) => Handler,
): Router<Handler> {
  const root = newNode<Handler>()
  for (const route of routes) {
    const { methods } = endpointOf(root, route.path)
    // The first route wins, such as kvist's own over a dialect's route with the same path.
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

/** Returns the endpoint of a pattern, creating it when missing. */
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

/** Throws unless all routes of an endpoint name its parameters alike. */
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
  node.fixed[segment.length] ??= []
  const siblings = node.fixed[segment.length]!
  const known = siblings.find(({ name }) => name === segment)
  if (known !== undefined) return known.node
  const child = newNode<Handler>()
  siblings.push({ name: segment, node: child })
  return child
}

/** Returns the endpoint of the path from offset `from` on, and pushes the values of parameters onto `values`. */
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

/** Returns the fixed child for a segment of the path without creating a substring. */
function fixedAt<Handler>(
  { fixed }: Node<Handler>,
  path: string,
  from: number,
  to: number,
): Node<Handler> | null {
  const ofLength = fixed[to - from]
  if (ofLength === undefined) return null
  for (const { name, node } of ofLength) if (isAt(path, from, to, name)) return node
  return null
}

function valueAt<Handler>(node: Node<Handler>, path: string, from: number, to: number): string {
  if (!isAt(path, from, to, node.lastValue)) node.lastValue = path.slice(from, to)
  return node.lastValue
}
