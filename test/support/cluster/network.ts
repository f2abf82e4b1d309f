import { KvistError } from '../../../src/core/errors.ts'
import { nextTick } from '../../../src/core/next-tick.ts'
import type { Received, SentPosition, Target } from '../../../src/replication/peer.ts'
import type { Random } from '../random.ts'
import type { ClusterNode } from './node.ts'

/** Brings batches from node to node, or fails to: decided by chance until it is calm. */
export interface Network {
  /** The target at the address of a node. */
  target(from: ClusterNode, address: number): Target
  /** Batches that are on their way. */
  underWay(): number
  isCut(from: number, to: number): boolean
  setCut(from: number, to: number, isCut: boolean): void
  /** Exchanges the addresses of two nodes. */
  swap(a: number, b: number): void
  /** Delivers one of the batches that were given up by their sender and are still under way. */
  deliverLate(): void
  calm(): void
}

type Deliver = () => Promise<Received>
type Fate = (deliver: Deliver) => Promise<Received>

const lost = () => Promise.reject(new Error('the connection broke off'))

export function network(nodes: readonly ClusterNode[], r: Random): Network {
  const cuts = new Set<string>()
  const at = nodes.map((node) => node)
  const late: Deliver[] = []
  let isCalm = false
  let underWay = 0

  const giveUp: Fate = (deliver) => {
    late.push(deliver)
    return lost()
  }
  /** What may happen to a batch, with how often, relative to the others. */
  const fates: readonly (readonly [number, Fate])[] = [
    [30, (deliver) => deliver()],
    [4, lost],
    [4, (deliver) => deliver().then(lost)],
    [3, (deliver) => deliver().then(deliver)],
    [3, giveUp],
  ]
  const deck = fates.flatMap(([weight, fate]) => Array<Fate>(weight).fill(fate))

  async function ticks(): Promise<void> {
    if (!isCalm) for (let i = r.int(4); i > 0; i--) await nextTick()
  }

  function deliver(
    from: ClusterNode,
    address: number,
    lines: string,
    position?: SentPosition,
  ): Promise<Received> {
    const { running } = at[address]!
    if (running === null) throw new Error('connection refused')
    return running.receive(lines, from.id, position)
  }

  async function send(
    from: ClusterNode,
    address: number,
    lines: string,
    position?: SentPosition,
  ): Promise<Received> {
    await ticks()
    if (cuts.has(`${nodes.indexOf(from)} ${address}`)) throw new Error('the network is cut')
    // The end of a batch may be missing.
    if (!isCalm && r.oneIn(10)) {
      const part = lines.split('\n').slice(0, r.int(4)).join('\n')
      await deliver(from, address, part)
      return lost()
    }
    const fate = isCalm ? deck[0]! : r.pick(deck)
    const received = await fate(async () => deliver(from, address, lines, position))
    await ticks()
    return received
  }

  async function counted<T>(work: () => Promise<T>): Promise<T> {
    underWay++
    try {
      return await work()
    } finally {
      underWay--
    }
  }

  return {
    target: (from, address) => ({
      url: `http://node-${address}`,
      send: (lines, _signal, _knows, position) => counted(() => send(from, address, lines, position)),
    }),
    underWay: () => underWay + late.length,
    isCut: (from, to) => cuts.has(`${from} ${to}`),
    setCut(from, to, isCut) {
      if (isCut) cuts.add(`${from} ${to}`)
      else cuts.delete(`${from} ${to}`)
    },
    swap(a, b) {
      ;[at[a], at[b]] = [at[b]!, at[a]!]
    },
    deliverLate() {
      const [one] = late.splice(r.int(late.length), 1)
      if (one === undefined) return
      counted(one).catch((error: unknown) => {
        // To a node that is down, or stops.
        if (error instanceof KvistError ? error.code === 'closing' : String(error).includes('refused')) return
        throw error
      })
    },
    calm() {
      isCalm = true
      cuts.clear()
    },
  }
}
