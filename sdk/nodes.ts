import { checkOptions, checkValue, wholeNumber } from './checks.ts'
import { NodeComparison } from './comparison.ts'
import { checkRefs } from './members.ts'
import { query } from './names.ts'
import type {
  ConflictsPage,
  DemoteResult,
  LookedUp,
  NodesStatus,
  PromoteResult,
  ReplicaPage,
  ReplicationSummary,
} from './node-types.ts'
import { callRules, conflictsRules, promoteRules, replicaRules, replicateRules } from './option-rules.ts'
import type { ConflictsOptions, PromoteOptions, ReplicaOptions, ReplicateOptions } from './options.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import type { MemberRef } from './types.ts'
import { jsonType } from './values.ts'

/** What a server is to other nodes. */
export class Nodes {
  readonly #transport: Transport
  /** Compares the server with another one. */
  readonly comparison: NodeComparison

  /** Called by `Kvist`. */
  constructor(transport: Transport) {
    this.#transport = transport
    this.comparison = new NodeComparison(transport)
  }

  /** Returns the id of the server's node, and how far each of its targets has come. Needs a token that grants `read` on `*`. */
  async status(options?: CallOptions): Promise<NodesStatus> {
    checkOptions(options, callRules)
    const call: Call = { method: 'GET', path: '/v1/_nodes', retry: 'idempotent', options }
    return this.#transport.send(call, this.#transport.json<NodesStatus>)
  }

  /**
   * Returns a page of the versions that were lost because two nodes wrote the same member apart, as this server has seen
   * it. A token sees those of members that it may read.
   */
  async conflicts(options: ConflictsOptions = {}): Promise<ConflictsPage> {
    checkOptions(options, conflictsRules)
    const { collection, limit, cursor } = options
    const path = `/v1/_conflicts${query({ collection, limit, cursor })}`
    const call: Call = { method: 'GET', path, retry: 'idempotent', options }
    return this.#transport.send(call, this.#transport.json<ConflictsPage>)
  }

  /**
   * Sends changes of a node, one a line, as docs/nodes.md describes them. The server applies those that are newer than
   * what it has. Needs a token that grants `replicate`.
   */
  async replicate(lines: string, from: string, options: ReplicateOptions = {}): Promise<ReplicationSummary> {
    checkOptions(options, replicateRules)
    const call: Call = {
      method: 'POST',
      path: '/v1/_replicate',
      headers: {
        'content-type': 'application/x-ndjson',
        'kvist-node': from,
        ...(options.bridge === undefined ? {} : { 'kvist-bridge': options.bridge ? '1' : '0' }),
        ...(options.knows === undefined ? {} : { 'kvist-knows': options.knows }),
        ...(options.position === undefined
          ? {}
          : { 'kvist-position': positionOf(options.position, options.after) }),
      },
      body: lines,
      retry: 'idempotent',
      options,
    }
    return this.#transport.send(call, this.#transport.json<ReplicationSummary>)
  }

  /**
   * Returns a page of all changes after a cursor, as followers read them, tokens included; `''` is the beginning. With
   * `waitMs` the server waits for a change if there is none. Needs a token that grants `read`, `replicate` and `admin` on
   * `*`.
   */
  async replica(since: string, from: string, options: ReplicaOptions = {}): Promise<ReplicaPage> {
    checkOptions(options, replicaRules)
    const { fill, waitMs = 0 } = options
    const wait = waitMs === 0 ? undefined : `${waitMs / 1000}`
    const call: Call = {
      method: 'GET',
      path: `/v1/_replicate${query({ since, fill: fill === true ? 'true' : undefined, wait })}`,
      headers: { 'kvist-node': from },
      retry: 'idempotent',
      extraMs: waitMs,
      options,
    }
    // A page may be large and the line slow: the time limit is for each part of it.
    const { response, chunks } = await this.#transport.open(call)
    const text = new TextDecoder().decode(await joined(chunks))
    const end = text.lastIndexOf('\n', text.length - 2) + 1
    try {
      return { ...(JSON.parse(text.slice(end)) as Omit<ReplicaPage, 'lines'>), lines: text.slice(0, end) }
    } catch {
      throw this.#transport.notKvist(response)
    }
  }

  /**
   * Makes the server the leader. It tells the leader that it has followed, and gets what it lacks, or throws a `conflict`;
   * with `force` it becomes the leader all the same. `url` is its own URL, to which the former leader sends clients.
   * Needs a token that grants `admin` on `*`.
   */
  async promote(options: PromoteOptions = {}): Promise<PromoteResult> {
    checkOptions(options, promoteRules)
    const { url, force } = options
    const call = this.#post('/v1/_nodes/promote', { url, force }, options)
    return this.#transport.send(call, this.#transport.json<PromoteResult>)
  }

  /** Tells the server that another node was promoted in its place: it takes no writes any more. */
  async demote(
    demotion: {
      readonly node: string
      readonly url: string | null
      readonly term: number
      readonly of: string | null
    },
    options?: CallOptions,
  ): Promise<DemoteResult> {
    checkOptions(options, callRules)
    const call = this.#post('/v1/_nodes/demote', demotion, options)
    return this.#transport.send(call, this.#transport.json<DemoteResult>)
  }

  #post(path: string, body: object, options: CallOptions | undefined): Call {
    const headers = { 'content-type': jsonType }
    return { method: 'POST', path, headers, body: JSON.stringify(body), retry: 'if-rejected', options }
  }

  /**
   * Returns what the server itself holds of some members, tombstones included, without asking other nodes. Values of more
   * than `maxValueBytes` are left out. Needs a token that grants `read`.
   */
  async lookup(
    members: readonly MemberRef[],
    maxValueBytes: number,
    options?: CallOptions,
  ): Promise<LookedUp> {
    checkOptions(options, callRules)
    checkRefs(members)
    checkValue('maxValueBytes', maxValueBytes, wholeNumber(0))
    const call: Call = {
      method: 'POST',
      path: '/v1/_lookup',
      headers: { 'content-type': jsonType },
      body: JSON.stringify({ members, max_value_bytes: maxValueBytes }),
      retry: 'idempotent',
      options,
    }
    return this.#transport.send(call, this.#transport.json<LookedUp>)
  }
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of chunks) parts.push(part)
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

function positionOf(position: string, after: string | undefined): string {
  return after === undefined ? position : `${position}; after=${after}`
}
