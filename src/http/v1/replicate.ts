import { sharedOwnCollections } from '../../core/comparison.ts'
import type { ConflictWatch } from '../../core/conflicts.ts'
import type { Database } from '../../core/database.ts'
import { type ErrorCode, KvistError } from '../../core/errors.ts'
import type { ForeignWrite } from '../../core/foreign-write.ts'
import { isOwnCollection, parseCollection, parseKey } from '../../core/keys.ts'
import { maxNamedFailures } from '../../core/limits.ts'
import { isNodeId } from '../../core/origin.ts'
import type { PositionStep } from '../../core/source-positions.ts'
import type { Store } from '../../core/store.ts'
import { parseTimeMs } from '../../core/time.ts'
import { bodyShare } from '../body.ts'
import { bodyParts, codingOf } from '../content-coding.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asObject, contentFields, type JsonFields, parseContent, refuseOthers } from './fields.ts'
import { linesOf, parseObject } from './lines.ts'

/**
 * `POST /v1/_replicate`: changes of another node, one a line, with their origins. They are applied as they arrive, each if
 * it is newer than what is stored. What cannot be applied is named, and the sender sends it again.
 */

const groupWrites = 500
const groupBytes = 1024 * 1024

/** What decides on conflicts with the writes of a request, and learns what was received. */
interface ReceivedWatch extends ConflictWatch {
  onApplied(writes: readonly ForeignWrite[]): void
  onReceived(): Promise<void>
}

export interface Receiver {
  /** `sender` is null if it did not say which node it is, `knows` if it did not say what it knows of others. */
  watchOf(sender: string | null, knows?: string | null): ReceivedWatch
}

export interface BridgeReceiver extends Receiver {
  /** Takes over whether the sender asks to pass its changes on. Called before they are applied. */
  learnBridge(sender: string | null, asksToBridge: boolean, writes: readonly ForeignWrite[]): Promise<void>
}

interface Failure {
  readonly line: number
  readonly code: ErrorCode
  readonly detail: string
}

export async function postReplicate(
  db: Store,
  receiver: BridgeReceiver,
  positions: Database['positions'],
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const sender = request.header('kvist-node')
  const bridge = request.header('kvist-bridge')
  const step = parsePosition(request.header('kvist-position'))
  const coding = codingOf(request)
  const share = bodyShare(context)
  const parts = bodyParts(request.body, coding, () => context.connection.resetTimeout())
  const summary = await replicateLines(db, receiver, {
    parts,
    sender,
    knows: request.header('kvist-knows'),
    async beforeApply(writes) {
      if (bridge !== null) await receiver.learnBridge(sender, bridge === '1', writes)
    },
    now: () => context.now(),
    async waitForMemory(neededBytes) {
      if (neededBytes > share.bytes) await context.connection.grow(share, neededBytes - share.bytes)
    },
  })
  // A token that may not write everything must not say that everything was sent.
  const isNoted =
    step !== null && sender !== null && context.principal.permits.everywhere('replicate') && isNodeId(sender)
  if (!isNoted || summary.failed.length > 0)
    return jsonTextLine(JSON.stringify({ node: db.nodeId, ...summary }))
  const position = await positions.move(sender, step)
  return jsonTextLine(JSON.stringify({ node: db.nodeId, ...summary, position }))
}

/** Parses `Kvist-Position`: where the sender comes to with these changes and, unless it begins, where it was before. */
function parsePosition(given: string | null): PositionStep | null {
  if (given === null) return null
  const [, to, after] = /^([\w.~%-]{1,512})(?:; after=([\w.~%-]{1,512}))?$/.exec(given) ?? []
  if (to !== undefined) return { to, after: after ?? null }
  throw new KvistError(
    'invalid_request',
    'Kvist-Position is a position, with "; after=" and the one before it',
  )
}

export interface SentLines {
  readonly parts: AsyncIterable<Uint8Array>
  /** The id of the node that sends them, if it said so. */
  readonly sender: string | null
  /** What the sender knows of other nodes (`Kvist-Knows`); missing or null if it says nothing of that. */
  readonly knows?: string | null
  /** Awaited before writes are applied. */
  readonly beforeApply?: (writes: readonly ForeignWrite[]) => Promise<void>
  readonly now: () => number
  readonly waitForMemory?: (neededBytes: number) => Promise<void>
}

/** What became of the lines; at most `maxNamedFailures` are named. */
export interface ReplicatedLines {
  readonly applied: number
  readonly superseded: number
  readonly failed: readonly Failure[]
  readonly failed_more?: number
}

/** Applies the changes in lines as they arrive. */
export async function replicateLines(
  db: Store,
  receiver: Receiver,
  { parts, sender, knows = null, now, beforeApply, waitForMemory = async () => {} }: SentLines,
): Promise<ReplicatedLines> {
  const watch = receiver.watchOf(sender, knows)
  const failed: Failure[] = []
  let failures = 0
  let applied = 0
  let superseded = 0
  let group: ForeignWrite[] = []
  let bytes = 0

  function fail(line: number, error: unknown): void {
    if (!(error instanceof KvistError)) throw error
    failures++
    if (failed.length < maxNamedFailures) failed.push({ line, code: error.code, detail: error.message })
  }

  async function apply(): Promise<void> {
    if (group.length === 0) return
    const writes = group
    group = []
    bytes = 0
    await beforeApply?.(writes)
    const written = await db.replicate(writes, watch)
    watch.onApplied(writes)
    const late = written.filter((one) => one.superseded === true).length
    superseded += late
    applied += written.length - late
  }

  for await (const lines of linesOf(parts, fail, (needed) => waitForMemory(needed + bytes))) {
    for (const { line, text } of lines) {
      try {
        const write = parseEntry(text, now())
        db.requireReplicable(write)
        group.push(write)
        bytes += write.op === 'put' ? write.value.length : 0
      } catch (error) {
        fail(line, error)
      }
      if (group.length >= groupWrites || bytes >= groupBytes) await apply()
    }
  }
  await apply()
  if (failures === 0) await watch.onReceived()
  return {
    applied,
    superseded,
    failed,
    ...(failures > failed.length ? { failed_more: failures - failed.length } : {}),
  }
}

const removalFields: ReadonlySet<string> = new Set(['op', 'collection', 'key', 'origin'])
const putFields: ReadonlySet<string> = new Set([
  ...removalFields,
  ...contentFields,
  'created_at',
  'is_renewal',
])

function parseEntry(text: string, nowMs: number): ForeignWrite {
  const fields = parseObject(text)
  const { op } = fields
  const ref = { collection: parseForeignCollection(fields.collection), key: parseForeignKey(fields.key) }
  const origin = parseOrigin(fields.origin)
  if (op === 'delete' || op === 'expire') {
    refuseOthers(fields, removalFields, 'the line')
    return { op: 'delete', ...ref, cause: op, origin }
  }
  if (op !== 'put') throw new KvistError('invalid_request', '"op" is put, delete or expire')
  refuseOthers(fields, putFields, 'the line')
  const { value, contentType, flags, expiresAtMs } = parseContent(fields, text, 'the line', nowMs)
  if (expiresAtMs === null) throw new KvistError('invalid_request', 'a put has "expires_at", null for never')
  return {
    op,
    ...ref,
    value,
    contentType,
    flags,
    expiresAtMs: expiresAtMs === 'never' ? null : expiresAtMs,
    origin: { ...origin, createdAtMs: parseCreated(fields.created_at) },
    ...(fields.is_renewal === true ? { isRenewal: true } : {}),
  }
}

/** Parses the name of a collection that nodes send each other. `where` names what it is a field of. */
export function parseForeignCollection(given: unknown, where = 'the line'): string {
  if (typeof given !== 'string') throw new KvistError('invalid_collection', `${where} has no "collection"`)
  if (!isOwnCollection(given)) return parseCollection(given)
  if (sharedOwnCollections.has(given)) return given
  throw new KvistError('invalid_collection', `${given.slice(0, 64)} is not for other nodes`)
}

function parseForeignKey(given: unknown): string {
  if (typeof given !== 'string') throw new KvistError('invalid_key', 'the line has no "key"')
  return parseKey(given)
}

function parseOrigin(given: unknown): { readonly node: string; readonly clock: number } {
  const { node, clock }: JsonFields = asObject(given, '"origin"')
  if (typeof node === 'string' && typeof clock === 'number') return { node, clock }
  throw new KvistError('invalid_request', '"origin" has a "node" and a "clock"')
}

function parseCreated(given: unknown): number {
  if (typeof given === 'string') return parseTimeMs(given)
  throw new KvistError('invalid_request', 'a put has "created_at", a time in RFC 3339')
}
