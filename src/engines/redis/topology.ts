import type { Primary } from './cluster.ts'
import { ErrorReply, type Reply } from './resp.ts'
import { addressText, type ServerAddress } from './servers.ts'
import { slotCount } from './slots.ts'

/**
 * Who has which slots. Each server of a cluster has its own view, and during a failover they differ; also a frozen
 * server, or one that is cut off, is still in its own. So all servers are asked, and for each slot the claim with the
 * highest configuration epoch holds, which is the rule of the servers themselves.
 */

/** The commands whose replies `viewOf` takes. Every server has them, also outside of a cluster. */
export const viewCommands = [['CLUSTER', 'SLOTS'], ['CLUSTER', 'NODES'], ['ROLE']] as const

/** The slots of every primary as one server sees them. */
export interface View {
  readonly isSingle: boolean
  readonly claims: readonly Claim[]
}

interface Claim {
  readonly from: number
  readonly to: number
  readonly id: string
  readonly epoch: number
  readonly address: ServerAddress
  readonly replicas: readonly ServerAddress[]
}

/** Parses the replies of a server to `viewCommands`; null when they are no view, as while a server starts. */
export function viewOf(asked: ServerAddress, [slots, nodes, role]: readonly Reply[]): View | null {
  if (slots instanceof ErrorReply) {
    return slots.text.includes('cluster support disabled') ? singleView(asked, role) : null
  }
  if (!Array.isArray(slots) || nodes === null || nodes === undefined || nodes instanceof ErrorReply)
    return null
  const known = nodesIn(String(nodes), asked)
  const claims = slots.flatMap((range) => claimIn(range, asked, known) ?? [])
  return { isSingle: false, claims }
}

interface KnownNode {
  readonly epoch: number
  readonly primaryId: string
  readonly isUsable: boolean
  readonly address: ServerAddress | null
}

/**
 * Parses `CLUSTER NODES`, which has a line `id address flags primary ping pong epoch link slots…` for each node. It
 * knows the epochs, and replicas that `CLUSTER SLOTS` leaves out because nothing was written yet.
 */
function nodesIn(text: string, asked: ServerAddress): Map<string, KnownNode> {
  const nodes = new Map<string, KnownNode>()
  for (const line of text.split('\n')) {
    const [id, address, flags, primaryId, , , epoch, link] = line.split(' ')
    if (id === undefined || address === undefined || flags === undefined || link === undefined) continue
    const parts = /^(.*):(\d+)@/.exec(address)
    nodes.set(id, {
      epoch: Number(epoch),
      primaryId: primaryId ?? '',
      isUsable: !/fail|handshake|noaddr/.test(flags),
      address: parts === null ? null : { host: hostOr(parts[1]!, asked), port: Number(parts[2]) },
    })
  }
  return nodes
}

/** `[from, to, [host, port, id, …], replica…]`. */
function claimIn(range: Reply, asked: ServerAddress, nodes: ReadonlyMap<string, KnownNode>): Claim | null {
  if (!Array.isArray(range) || range.length < 3) return null
  const [from, to, primary, ...listed] = range
  const address = endpointIn(primary, asked)
  if (address === null || !isSlot(from) || !isSlot(to)) return null
  const id = String(primary[2] ?? '')
  const replicas = new Map<string, ServerAddress>()
  for (const [replicaId, { primaryId, isUsable, address: at }] of nodes) {
    if (primaryId === id && isUsable && at !== null) replicas.set(replicaId, at)
  }
  // Those that are listed have the name under which clients reach them.
  for (const replica of listed) {
    const at = endpointIn(replica, asked)
    if (at !== null) replicas.set(String(replica[2] ?? ''), at)
  }
  return { from, to, id, epoch: nodes.get(id)?.epoch ?? 0, address, replicas: [...replicas.values()] }
}

function isSlot(value: Reply): value is number {
  return typeof value === 'number' && value >= 0 && value < slotCount
}

/** A server that does not know its own name leaves it out: it is where it was asked. */
function endpointIn(node: Reply, asked: ServerAddress): ServerAddress | null {
  if (!Array.isArray(node) || typeof node[1] !== 'number') return null
  return { host: hostOr(node[0] === null ? '' : String(node[0]), asked), port: node[1] }
}

function hostOr(host: string, asked: ServerAddress): string {
  return host === '' || host === '?' ? asked.host : host
}

/** A server without cluster has all slots while it is a primary, and none while it is a replica. */
function singleView(asked: ServerAddress, role: Reply | undefined): View | null {
  if (!Array.isArray(role)) return null
  if (String(role[0]) !== 'master') return { isSingle: true, claims: [] }
  const replicas = (Array.isArray(role[2]) ? role[2] : []).flatMap((replica: Reply) =>
    Array.isArray(replica) ? { host: String(replica[0]), port: Number(replica[1]) } : [],
  )
  const all = { from: 0, to: slotCount - 1, id: '', epoch: 0, address: asked, replicas }
  return { isSingle: true, claims: [all] }
}

/** The address in `MOVED slot host:port` and `ASK slot host:port`; null in anything else. */
export function redirectIn(text: string, asked: ServerAddress): ServerAddress | null {
  const parts = /^(?:MOVED|ASK) \d+ (.*):(\d+)/.exec(text)
  return parts === null ? null : { host: hostOr(parts[1]!, asked), port: Number(parts[2]) }
}

export interface Topology {
  readonly primaries: readonly Primary[]
  /** The index in `primaries` for each slot; -1 for a slot that nobody has. */
  readonly owners: Int16Array
  readonly uncoveredSlots: number
}

export const noTopology: Topology = {
  primaries: [],
  owners: new Int16Array(slotCount).fill(-1),
  uncoveredSlots: slotCount,
}

/** Merges the views. Where two claims have the same epoch, that of the later view holds. */
export function merge(views: Iterable<View>): Topology {
  const claims = [...views].flatMap(({ claims }) => claims).sort((a, b) => a.epoch - b.epoch)
  const claimOf = new Int32Array(slotCount).fill(-1)
  for (const [index, { from, to }] of claims.entries()) claimOf.fill(index, from, to + 1)

  const found = new Map<string, { claim: Claim; slots: [number, number][] }>()
  let uncoveredSlots = 0
  for (let from = 0; from < slotCount; ) {
    const index = claimOf[from]!
    let to = from
    while (to + 1 < slotCount && claimOf[to + 1] === index) to++
    if (index < 0) uncoveredSlots += to - from + 1
    else addRange(found, claims[index]!, from, to)
    from = to + 1
  }
  const owners = new Int16Array(slotCount).fill(-1)
  const primaries = [...found.values()].map(({ claim, slots }, index): Primary => {
    for (const [from, to] of slots) owners.fill(index, from, to + 1)
    return { ...claim.address, id: claim.id, replicas: claim.replicas, slots }
  })
  return { primaries, owners, uncoveredSlots }
}

function addRange(
  found: Map<string, { claim: Claim; slots: [number, number][] }>,
  claim: Claim,
  from: number,
  to: number,
): void {
  const address = addressText(claim.address)
  const known = found.get(address)
  if (known === undefined) {
    found.set(address, { claim, slots: [[from, to]] })
    return
  }
  if (claim.epoch >= known.claim.epoch) known.claim = claim
  const last = known.slots.at(-1)!
  if (last[1] === from - 1) last[1] = to
  else known.slots.push([from, to])
}

/** Returns whether the same primaries have the same slots and replicas. */
export function isSameTopology(a: Topology, b: Topology): boolean {
  return summary(a) === summary(b)
}

function summary({ primaries }: Topology): string {
  return primaries
    .map(
      (primary) =>
        `${addressText(primary)} ${primary.slots.join(' ')} ${primary.replicas.map(addressText).sort().join(' ')}`,
    )
    .join('\n')
}
