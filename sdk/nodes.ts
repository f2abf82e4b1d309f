import { checkOptions, checkValue, wholeNumber } from './checks.ts'
import { NodeComparison } from './comparison.ts'
import { checkRefs } from './members.ts'
import { query } from './names.ts'
import { callRules, conflictsRules } from './option-rules.ts'
import type { ConflictsOptions } from './options.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import type { ConflictsPage, LookedUp, MemberRef, NodesStatus, ReplicationSummary } from './types.ts'
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
  async replicate(lines: string, from: string, options?: CallOptions): Promise<ReplicationSummary> {
    checkOptions(options, callRules)
    const call: Call = {
      method: 'POST',
      path: '/v1/_replicate',
      headers: { 'content-type': 'application/x-ndjson', 'kvist-node': from },
      body: lines,
      retry: 'idempotent',
      options,
    }
    return this.#transport.send(call, this.#transport.json<ReplicationSummary>)
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
