import type { ForeignWrite } from '../../../src/core/foreign-write.ts'
import type { Member, Value } from '../../../src/core/member.ts'
import { idOf, type KnownVersion, type Version } from './model.ts'
import type { ClusterNode } from './node.ts'
import { type Cluster, sourcesOfNode } from './run.ts'

/** Compares what each node has with the model, and sends all there ever was to it once more: that must change nothing. */
export async function verify(cluster: Cluster): Promise<void> {
  await compareAll(cluster, 'it has')
  const writes = cluster.model.versions()
  for (const node of cluster.nodes) {
    const sources = sourcesOfNode(cluster, node)
    const known = writes.filter((version) => sources(version).has(version.origin.node))
    await node.running!.db.replicate(known.flatMap((version) => foreignWrites(version, sources(version))))
  }
  await compareAll(cluster, 'after all is sent again it has')
}

async function compareAll(cluster: Cluster, when: string): Promise<void> {
  const { nodes, model, clock } = cluster
  for (const [i, node] of nodes.entries()) {
    const expected = model.expected(sourcesOfNode(cluster, node), clock.nowMs)
    const found = await liveMembersOf(node, clock.nowMs)
    for (const id of new Set([...expected.keys(), ...found.keys()])) {
      const [is, should] = [found.get(id) ?? null, shownVersion(expected.get(id))]
      if (is !== should)
        throw new Error(
          `node ${i}, ${id}: ${when} ${is}, and should ${should}\n${await historyOf(cluster, id)}`,
        )
    }
  }
}

async function liveMembersOf(node: ClusterNode, nowMs: number): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const [id, { member }] of await node.stored()) {
    if (member.expiresAtMs === null || member.expiresAtMs > nowMs) found.set(id, shownMember(member, node.id))
  }
  return found
}

function shownMember(member: Member, nodeId: string): string {
  const { clock, node, value, contentType, flags, createdAtMs, expiresAtMs } = member
  return JSON.stringify([clock, node || nodeId, textOf(value), contentType, flags, createdAtMs, expiresAtMs])
}

function shownVersion(version: KnownVersion | undefined): string | null {
  if (version === undefined || version.content === null) return null
  const { origin, content, expiresAtMs } = version
  const { value, contentType, flags, createdAtMs } = content
  return JSON.stringify([
    origin.clock,
    origin.node,
    textOf(value),
    contentType,
    flags,
    createdAtMs,
    expiresAtMs,
  ])
}

function textOf(value: Value): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('latin1')
}

function foreignWrites(version: Version, sources: ReadonlySet<string>): ForeignWrite[] {
  const { collection, key, origin, content, expiries } = version
  if (content === null) return [{ op: 'delete', collection, key, cause: 'delete', origin }]
  const { createdAtMs, ...rest } = content
  return expiries
    .filter(({ by }) => sources.has(by))
    .map(({ expiresAtMs }) => ({
      op: 'put',
      collection,
      key,
      ...rest,
      expiresAtMs,
      origin: { ...origin, createdAtMs },
    }))
}

/** All versions of a member that there were, and what each node has of it. */
async function historyOf({ model, nodes }: Cluster, id: string): Promise<string> {
  const versions = model.versions().filter((version) => idOf(version) === id)
  const named = (text: string) =>
    nodes.reduce((sofar, node, i) => sofar.replaceAll(node.id, `node-${i}`), text)
  const lines = versions
    .toSorted((a, b) => a.origin.clock - b.origin.clock)
    .map(({ origin, content, expiries }) =>
      JSON.stringify({ ...origin, value: content?.value ?? null, expiries }),
    )
  for (const [i, node] of nodes.entries()) {
    const [collection = '', key = ''] = id.split('/')
    const member =
      (await node.stored()).get(id)?.member ?? (await node.running?.db.removalCause(collection, key)) ?? null
    lines.push(`node ${i} has ${JSON.stringify(member)}`)
  }
  return named(lines.join('\n'))
}
