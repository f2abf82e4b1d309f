import type { Random } from '../random.ts'

/** Which nodes of a cluster send to which, and which pass on what they receive. */
export interface Topology {
  readonly name: string
  readonly size: number
  /** From, to. */
  readonly links: readonly (readonly [number, number])[]
  readonly isBridge: readonly boolean[]
}

type Links = [number, number][]

const range = (count: number) => Array.from({ length: count }, (_, i) => i)
const bothWays = (links: Links): Links =>
  links.flatMap(
    ([a, b]): Links => [
      [a, b],
      [b, a],
    ],
  )
const chainOf = (size: number): Links => range(size - 1).map((i) => [i, i + 1])

/** Each may be chosen for a cluster of any size; a node between others is a bridge, or nothing would come past it. */
const layouts: Readonly<Record<string, (size: number) => Links>> = {
  mesh: (size) => range(size).flatMap((a) => range(size).flatMap((b): Links => (a === b ? [] : [[a, b]]))),
  ring: (size) => range(size).map((i) => [i, (i + 1) % size]),
  'ring both ways': (size) => bothWays(range(size).map((i) => [i, (i + 1) % size])),
  star: (size) => bothWays(range(size - 1).map((i) => [0, i + 1])),
  chain: chainOf,
  'chain both ways': (size) => bothWays(chainOf(size)),
  tree: (size) => range(size - 1).map((i) => [Math.floor(i / 2), i + 1]),
  'targets of one emitter': (size) => range(size - 1).map((i) => [0, i + 1]),
  'emitters of one target': (size) => range(size - 1).map((i) => [i + 1, 0]),
  'pair with a mirror of each': (size) => [
    ...bothWays([[0, 1]]),
    ...range(size - 2).map((i): [number, number] => [i % 2, i + 2]),
  ],
}

export function randomTopology(r: Random): Topology {
  const size = 3 + r.int(3)
  const name = r.pick(Object.keys(layouts))
  const links = layouts[name]!(size)
  const isMesh = name === 'mesh'
  const isBetween = (i: number) => links.some(([from]) => from === i) && links.some(([, to]) => to === i)
  return {
    name: `${name} of ${size}`,
    size,
    links,
    isBridge: range(size).map((i) => (isMesh ? r.oneIn(2) : isBetween(i) || r.oneIn(3))),
  }
}

/** Returns the nodes whose writes come to a node, itself included. */
export function sourcesOf({ links, isBridge }: Topology, node: number): ReadonlySet<number> {
  const found = new Set([node])
  const open = [node]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const [from, to] of links) {
      if (to !== at || found.has(from) || (at !== node && !isBridge[at])) continue
      found.add(from)
      open.push(from)
    }
  }
  return found
}

/** Returns the nodes that send nothing and get everything from the same others: two of them can exchange addresses. */
export function interchangeable({ links, size }: Topology): readonly (readonly [number, number])[] {
  const emitters = range(size).map((node) =>
    JSON.stringify(links.filter(([, to]) => to === node).map(([from]) => from)),
  )
  const leaves = range(size).filter((node) => links.every(([from]) => from !== node))
  return leaves.flatMap((a) =>
    leaves.filter((b) => a < b && emitters[a] === emitters[b]).map((b) => [a, b] as const),
  )
}
