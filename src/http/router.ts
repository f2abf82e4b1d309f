import type { Route } from './route.ts'
import { isAt } from './text.ts'

/** Finds the rows of a path, segment by segment. What is fixed wins over parameters, and these over the rest of a path. */
export interface Router<Handler> {
  match(path: string): Match<Handler> | null
}

/** The rows of one pattern. */
export interface Place<Handler> {
  readonly pattern: string
  readonly methods: Map<string, Handler>
  /** Of the parameters, in their order; `*` for the rest. */
  readonly names: readonly string[]
}

export interface Match<Handler> {
  readonly place: Place<Handler>
  /** What its parameters stand for, in the order of their names, not decoded. */
  readonly values: readonly string[]
}

interface Node<Handler> {
  readonly fixed: { readonly name: string; readonly node: Node<Handler> }[]
  parameter: Node<Handler> | null
  /** What the parameter stood for where more followed: one text for many requests is quick to compare with itself. */
  lastValue: string
  /** What ends here. */
  here: Place<Handler> | null
  /** What takes all that follows. */
  rest: Place<Handler> | null
}

export function routerOf<Handler>(
  routes: readonly Route[],
  handlerOf: (route: Route) => Handler,
): Router<Handler> {
  const root = newNode<Handler>()
  for (const route of routes) {
    const { methods } = placeOf(root, route.path)
    // What comes first wins, as a dialect's row that falls on one of kvist's own.
    if (!methods.has(route.method)) methods.set(route.method, handlerOf(route))
  }
  return {
    match(path) {
      const values: string[] = []
      const place = path.startsWith('/') ? find(root, path, 1, values) : null
      return place === null ? null : { place, values }
    },
  }
}

function newNode<Handler>(): Node<Handler> {
  return { fixed: [], parameter: null, lastValue: '', here: null, rest: null }
}

/** The place of a pattern, made where it is not there yet. */
function placeOf<Handler>(root: Node<Handler>, pattern: string): Place<Handler> {
  const segments = pattern.slice(1).split('/')
  const names = segments.filter(isParameter).map((segment) => (segment === '*' ? segment : segment.slice(1)))
  const place: Place<Handler> = { pattern, methods: new Map(), names }
  let node = root
  for (const segment of segments) {
    if (segment === '*') {
      node.rest ??= place
      return same(node.rest, pattern)
    }
    node = childOf(node, segment)
  }
  node.here ??= place
  return same(node.here, pattern)
}

/** Parameters of one place have the same names in all its rows. */
function same<Handler>(place: Place<Handler>, pattern: string): Place<Handler> {
  if (place.pattern === pattern) return place
  throw new Error(`the routes ${place.pattern} and ${pattern} stand for the same paths`)
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

/** The place of a path from one of its segments on; the values of parameters are added to `values`. */
function find<Handler>(
  node: Node<Handler>,
  path: string,
  from: number,
  values: string[],
): Place<Handler> | null {
  const slash = path.indexOf('/', from)
  const to = slash === -1 ? path.length : slash
  const fixed = fixedAt(node, path, from, to)
  if (fixed !== null) {
    const place = slash === -1 ? fixed.here : find(fixed, path, slash + 1, values)
    if (place !== null) return place
  }
  if (node.parameter !== null && to > from) {
    values.push(slash === -1 ? path.slice(from) : valueAt(node, path, from, to))
    const place = slash === -1 ? node.parameter.here : find(node.parameter, path, slash + 1, values)
    if (place !== null) return place
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
