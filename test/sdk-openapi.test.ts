import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Ajv2020 } from 'ajv/dist/2020'
import {
  type ArchivedVersion,
  type BatchCheck,
  type BatchDelete,
  type BatchIncrement,
  type BatchPut,
  type BatchTouch,
  type BrokenMember,
  type CallOptions,
  type ChangesOptions,
  type ChangesPage,
  type CollectionInfo,
  type CollectionsPage,
  type CollectionsPageOptions,
  type ConditionOptions,
  type Conflict,
  type ConflictsPage,
  type CreatedToken,
  type DemoteResult,
  type EndChange,
  type EngineLine,
  type EnginePrimary,
  type EngineReplica,
  type EngineStatus,
  type ExpiryFields,
  type ExpiryOptions,
  type FindPageOptions,
  type FollowerStatus,
  type Grant,
  type HealStatus,
  type History,
  type HistoryOptions,
  type Identity,
  type ImportFailure,
  type ImportItem,
  type ImportSummary,
  type Incremented,
  type JsonPatchOperation,
  Kvist,
  type LeaderStatus,
  type LookedUp,
  type LookedUpMember,
  type LookedUpTombstone,
  type LostVersion,
  type Member,
  type MemberValue,
  type NewToken,
  type NodesStatus,
  type Origin,
  type OriginStatus,
  type Page,
  type PageOptions,
  type Problem,
  type PromoteResult,
  type PutChange,
  type ReplicaPage,
  type ReplicationSummary,
  type ResponseCode,
  type SchemaCheck,
  type Selection,
  type Settings,
  type Stored,
  type TargetStatus,
  type Ticket,
  type Token,
  type Violation,
} from '../sdk/client.ts'
import type { ErrorCode as ServersErrorCode } from '../src/core/errors.ts'
import { startServer, type TestServer } from './support/server.ts'

/** The client held against the document at `/openapi.json`: what it calls, the responses, the names of its types. */

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema & { readonly oneOf?: readonly (Schema & { readonly title: string })[] }
}
interface Operation {
  readonly operationId: string
  readonly parameters?: readonly { readonly in: string; readonly name: string }[]
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>
  >
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

let server: TestServer
let document: Document
beforeAll(async () => {
  server = await startServer()
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document
})
afterAll(() => server.remove())

/** Of a type with an index signature, the names that it has beside that. */
type Named<T> = keyof {
  [Name in keyof T as string extends Name ? never : number extends Name ? never : Name]: T[Name]
}
/** An entry for each name of a type, and whether it must be there; one too many or too few does not compile. */
type Names<T> = { readonly [Name in Named<T>]-?: object extends Pick<T, Name> ? 'optional' : 'required' }

const stored: Names<Stored> = {
  key: 'required',
  revision: 'required',
  created_at: 'required',
  updated_at: 'required',
  expires_at: 'required',
  content_type: 'required',
}
const origin: Names<Origin> = { node: 'required', clock: 'required' }
const member: Names<Member<unknown>> = {
  ...stored,
  value: 'required',
  flags: 'optional',
  origin: 'optional',
}
const incremented: Names<Incremented> = { ...stored, value: 'required' }
const memberValue: Names<MemberValue<unknown>> = {
  key: 'required',
  value: 'required',
  content_type: 'optional',
  expires_at: 'required',
  flags: 'optional',
}
const page: Names<Page<never>> = { members: 'required', prefixes: 'optional', next: 'required' }
const putChange: Names<PutChange<unknown>> = { ...member, type: 'required', collection: 'required' }
const endChange: Names<EndChange> = {
  revision: 'required',
  type: 'required',
  collection: 'required',
  key: 'required',
  origin: 'optional',
}
const changesPage: Names<ChangesPage<never>> = {
  changes: 'required',
  next: 'required',
  at_end: 'optional',
  node: 'optional',
}
const collectionsPage: Names<CollectionsPage> = { collections: 'required', next: 'required' }
const collectionInfo: Names<CollectionInfo> = { name: 'required', members: 'required', bytes: 'required' }
const expiry: Names<ExpiryFields> = {
  expire_in: 'optional',
  expire_at: 'optional',
  expires_at: 'optional',
}
const importItem: Names<ImportItem<unknown>> = {
  key: 'required',
  value: 'required',
  ...expiry,
  content_type: 'optional',
  flags: 'optional',
}
const importSummary: Names<ImportSummary> = {
  stored: 'required',
  failed: 'required',
  failed_more: 'optional',
}
const importFailure: Names<ImportFailure> = { line: 'required', code: 'required', detail: 'required' }
const schemaCheck: Names<SchemaCheck> = {
  checked: 'required',
  broken: 'required',
  complete: 'required',
  next: 'required',
}

const brokenMember: Names<BrokenMember> = { key: 'required', violations: 'required' }

const violation: Names<Violation> = { pointer: 'required', reason: 'required', keyword: 'required' }

const settings: Names<Settings> = {
  processes: 'required',
  default_ttl: 'required',
  sliding: 'required',
  schema: 'required',
  max_members: 'required',
  max_bytes: 'required',
  max_value_bytes: 'required',
  indexes: 'required',
}
const batchCheck: Names<BatchCheck> = { collection: 'required', key: 'required', revision: 'required' }
const batchOperations = {
  put: {
    op: 'required',
    collection: 'required',
    key: 'required',
    value: 'required',
    content_type: 'optional',
    flags: 'optional',
    ...expiry,
  } satisfies Names<BatchPut>,
  delete: { op: 'required', collection: 'required', key: 'required' } satisfies Names<BatchDelete>,
  increment: {
    op: 'required',
    collection: 'required',
    key: 'required',
    path: 'optional',
    by: 'optional',
    if_created: 'optional',
  } satisfies Names<BatchIncrement>,
  touch: { op: 'required', collection: 'required', key: 'required', ...expiry } satisfies Names<BatchTouch>,
}
type EveryName<Union> = Union extends unknown ? keyof Union : never
const jsonPatchOperation: Record<EveryName<JsonPatchOperation>, true> = {
  op: true,
  path: true,
  from: true,
  value: true,
}
const grant: Names<Grant> = { collections: 'required', key_prefix: 'optional', can: 'required' }
const newToken: Names<NewToken> = {
  name: 'required',
  grants: 'required',
  expires_in: 'optional',
  rate_limit: 'optional',
}
const token: Names<Token> = {
  id: 'required',
  name: 'required',
  grants: 'required',
  subject: 'optional',
  rate_limit: 'optional',
  created_at: 'required',
  expires_at: 'required',
  last_used_at: 'required',
}
const createdToken: Names<CreatedToken> = { ...token, token: 'required' }
const identity: Names<Identity> = {
  name: 'required',
  grants: 'required',
  rate_limit: 'optional',
  expires_at: 'required',
}
const ticket: Names<Ticket> = { ticket: 'required', expires_at: 'required', url: 'required' }
const history: Names<History> = { versions: 'required', next: 'required' }

const archivedVersion: Names<ArchivedVersion> = {
  revision: 'required',
  at: 'required',
  type: 'required',
  bytes: 'optional',
  content_type: 'optional',
  expires_at: 'optional',
  value: 'optional',
  value_text: 'optional',
  value_base64: 'optional',
}

const engineStatus: Names<EngineStatus> = { engine: 'required', primaries: 'required', lines: 'required' }

const enginePrimary: Names<EnginePrimary> = {
  address: 'required',
  version: 'required',
  slots: 'required',
  memory_bytes: 'required',
  max_memory_bytes: 'required',
  replicas: 'required',
}

const engineReplica: Names<EngineReplica> = { address: 'required', lag_bytes: 'required' }

const engineLine: Names<EngineLine> = {
  line: 'required',
  primary: 'required',
  revision: 'required',
  reported: 'required',
  members: 'required',
  tombstones: 'required',
  memory_bytes: 'required',
  gaps: 'required',
}

const nodesStatus: Names<NodesStatus> = {
  node: 'required',
  conflicts: 'required',
  targets: 'required',
  role: 'required',
  term: 'required',
  leader: 'required',
  followers: 'required',
  lookup: 'optional',
  origins: 'optional',
  cache: 'optional',
}
const leaderStatus: Names<LeaderStatus> = {
  url: 'required',
  state: 'required',
  node: 'required',
  last_current_at: 'required',
  received: 'required',
  failures: 'required',
  last_error: 'required',
  merged: 'optional',
}
const followerStatus: Names<FollowerStatus> = {
  node: 'required',
  is_current: 'required',
  last_seen_at: 'required',
}
const replicaPage: Names<ReplicaPage> = {
  lines: 'required',
  node: 'required',
  next: 'required',
  at_end: 'required',
  term: 'required',
  leaders: 'required',
  knows: 'required',
}
const promoteResult: Names<PromoteResult> = {
  node: 'required',
  term: 'required',
  former_leader: 'required',
  before: 'required',
}
const demoteResult: Names<DemoteResult> = { node: 'required', role: 'required', term: 'required' }
const originStatus: Names<OriginStatus> = {
  url: 'required',
  state: 'required',
  node: 'required',
  failures: 'required',
  last_error: 'required',
}
const conflictsPage: Names<ConflictsPage> = { conflicts: 'required', unlisted: 'required', next: 'required' }
const conflict: Names<Conflict> = {
  collection: 'required',
  key: 'required',
  seen_at: 'required',
  lost: 'required',
  kept: 'required',
}
const lostVersion: Names<LostVersion> = {
  type: 'required',
  origin: 'required',
  written_at: 'required',
  revision: 'required',
  created_at: 'optional',
  expires_at: 'optional',
  content_type: 'optional',
  flags: 'optional',
  bytes: 'optional',
  value: 'optional',
  value_text: 'optional',
  value_base64: 'optional',
}
const targetStatus: Names<TargetStatus> = {
  url: 'required',
  state: 'required',
  node: 'required',
  lag_changes: 'required',
  lag_seconds: 'required',
  sent: 'required',
  failures: 'required',
  last_error: 'required',
  last_success_at: 'required',
  setbacks: 'required',
  heal: 'required',
}
const healStatus: Names<HealStatus> = {
  is_running: 'required',
  runs: 'required',
  failures: 'required',
  mended: 'required',
  undecided: 'required',
  last_run_at: 'required',
  last_error: 'required',
}
const lookedUp: Names<LookedUp> = { node: 'required', versions: 'required' }
const lookedUpMember: Names<LookedUpMember> = {
  type: 'required',
  origin: 'required',
  created_at: 'required',
  expires_at: 'required',
  content_type: 'required',
  flags: 'required',
  value_bytes: 'required',
  value_text: 'optional',
  value_base64: 'optional',
}
const lookedUpTombstone: Names<LookedUpTombstone> = { type: 'required', origin: 'required' }
const replicationSummary: Names<ReplicationSummary> = {
  node: 'required',
  applied: 'required',
  superseded: 'required',
  failed: 'required',
  failed_more: 'optional',
  position: 'optional',
}
const problem: Names<Problem> = {
  type: 'optional',
  title: 'optional',
  status: 'optional',
  code: 'required',
  detail: 'required',
  request_id: 'optional',
}

function sorted(names: object): string[] {
  return Object.keys(names).toSorted()
}

/** The client has one `value`, which says by its type how it is sent. */
const otherValues = ['value_base64', 'value_text'] as const

/** The names that must be there. */
function requiredOf(names: Readonly<Record<string, 'required' | 'optional'>>): object {
  return Object.fromEntries(Object.entries(names).filter(([, need]) => need === 'required'))
}

/** Names, and which of them must be there. */
function expectSame(
  names: Readonly<Record<string, 'required' | 'optional'>>,
  schema: Schema | undefined,
  lacking: readonly string[] = [],
): void {
  expect([...sorted(names), ...lacking].toSorted()).toEqual(sorted(schema?.properties ?? {}))
  const required = Object.entries(names).filter(([, need]) => need === 'required')
  // The client may want more: of several ways to say something it has one.
  expect(required.map(([name]) => name)).toEqual(expect.arrayContaining([...(schema?.required ?? [])]))
}

test('types name what the document names', () => {
  const { schemas } = document.components
  expectSame(stored, schemas.Stored)
  expectSame(page, schemas.Page, ['complete', 'count', 'explain'])
  expectSame(changesPage, schemas.Changes)
  expectSame(collectionsPage, schemas.Collections)
  expectSame(collectionInfo, schemas.Collections?.properties.collections?.items)
  expectSame(importSummary, schemas.BulkSummary)
  expectSame(importFailure, schemas.BulkSummary?.properties.failed?.items)
  expectSame(batchCheck, schemas.Batch?.properties.checks?.items)
  const operations = schemas.Batch?.properties.operations?.items?.oneOf ?? []
  const known = Object.entries(batchOperations)
  const titles = known.map(([title]) => title).toSorted()
  expect(operations.map(({ title }) => title).toSorted()).toEqual(titles)
  for (const [title, names] of known) {
    const operation = operations.find((one) => one.title === title)
    expectSame(names, operation, title === 'put' ? otherValues : [])
  }
  // One shape of the document where the client has several, or with bytes as the wire has them.
  const bytes = { value_base64: true, value_text: true }
  expect(sorted({ ...member, ...memberValue, ...bytes })).toEqual(sorted(schemas.Member?.properties ?? {}))
  expect(sorted({ ...putChange, ...bytes })).toEqual(sorted(schemas.Change?.properties ?? {}))
  expect(sorted(requiredOf(endChange))).toEqual([...(schemas.Change?.required ?? [])].toSorted())
  expectSame(origin, schemas.Origin)
  expect([...sorted(importItem), ...otherValues].toSorted()).toEqual(
    sorted(schemas.BulkLine?.properties ?? {}),
  )
  expect(sorted(settings)).toEqual(sorted(schemas.Settings?.properties ?? {}))
  expectSame(schemaCheck, schemas.CheckedMembers)
  expectSame(brokenMember, schemas.CheckedMembers?.properties.broken?.items)
  expectSame(violation, schemas.CheckedMembers?.properties.broken?.items?.properties?.violations?.items)
  expectSame(grant, schemas.Grant)
  expectSame({ ...newToken, subject: 'optional' }, schemas.NewToken)
  expectSame(token, schemas.Token)
  expectSame(createdToken, schemas.CreatedToken)
  expectSame(nodesStatus, schemas.Nodes)
  expectSame(history, schemas.History)
  expectSame(archivedVersion, schemas.ArchivedVersion)
  expectSame(engineStatus, schemas.EngineStatus)
  expectSame(enginePrimary, schemas.EnginePrimary)
  expectSame(engineReplica, schemas.EngineReplica)
  expectSame(engineLine, schemas.EngineLine)
  expectSame(conflictsPage, schemas.Conflicts)
  expectSame(conflict, schemas.Conflict)
  expectSame(lostVersion, schemas.Conflict?.properties.lost)
  expectSame(targetStatus, schemas.Target)
  expectSame(healStatus, schemas.Heal)
  expect(sorted(leaderStatus)).toEqual(sorted(schemas.Leader?.properties ?? {}))
  expectSame(followerStatus, schemas.Follower)
  expectSame(promoteResult, schemas.Promotion)
  expectSame(demoteResult, schemas.Demotion)
  expectSame(originStatus, schemas.OriginStatus)
  expectSame(lookedUp, schemas.LookedUp)
  expectSame(lookedUpMember, schemas.LookedUpMember)
  expectSame(lookedUpTombstone, schemas.LookedUpTombstone)
  expectSame(replicationSummary, schemas.ReplicationSummary)
  expect(sorted(problem)).toEqual(sorted(schemas.Problem?.properties ?? {}))
  expect(sorted(jsonPatchOperation)).toEqual(sorted(schemas.JsonPatch?.items?.properties ?? {}))
  const names =
    'ArchivedVersion Batch BulkLine BulkSummary Change Changes CheckedMembers Collections Conflict Conflicts CreatedToken Deleted Demotion EngineLine EnginePrimary EngineReplica EngineStatus Follower'
  const others =
    'Grant Heal History Increment JsonPatch Leader LookedUp LookedUpMember LookedUpTombstone Member MembersCheck NewToken Nodes Origin OriginStatus Page Patched Problem Promotion Query Read ReadResult ReplicatedChange ReplicationSummary Revisions Settings Stored Target Token'
  expect(sorted(schemas)).toEqual(`${names} ${others}`.split(' '))
})

type ServerCode = ServersErrorCode | 'internal' | 'method_not_allowed'
type IsWithin<One, Other> = [One] extends [Other] ? true : false

test('codes of errors are those of the server', () => {
  // A code too few or too many does not compile.
  const found: [IsWithin<ServerCode, ResponseCode>, IsWithin<ResponseCode, ServerCode>] = [true, true]
  expect(found).toEqual([true, true])
})

type Call = { readonly [Name in keyof CallOptions]-?: 'call' }
const call: Call = { signal: 'call', timeoutMs: 'call', retries: 'call' }
const selection: Record<keyof Selection, string> = {
  prefix: 'prefix',
  filter: 'filter',
  match: 'match',
  from: 'from',
  to: 'to',
  where: 'where',
}
const findPageOptions: Record<keyof FindPageOptions, string> = {
  ...call,
  ...selection,
  order: 'order',
  fields: 'fields',
  include: 'include',
  limit: 'limit',
  cursor: 'cursor',
  count: 'count',
  explain: 'explain',
}
const pageOptions: Record<keyof PageOptions, string> = {
  ...call,
  ...selection,
  order: 'order',
  include: 'include',
  limit: 'limit',
  cursor: 'cursor',
  delimiter: 'delimiter',
}
const changesOptions: Record<keyof ChangesOptions, string> = {
  ...call,
  since: 'since',
  limit: 'limit',
  include: 'include',
  waitMs: 'wait',
  prefix: 'prefix',
  filter: 'filter',
  where: 'where',
}
const historyOptions: Record<keyof HistoryOptions, string> = {
  ...call,
  before: 'before',
  limit: 'limit',
  include: 'include',
}
const collectionsPageOptions: Record<keyof CollectionsPageOptions, string> = {
  ...call,
  prefix: 'prefix',
  limit: 'limit',
  cursor: 'cursor',
}
const expiryOptions: Record<keyof ExpiryOptions, string> = { expireIn: 'expire_in', expireAt: 'expire_at' }
const conditionOptions: Record<keyof ConditionOptions, string> = {
  ...call,
  ifRevision: 'If-Match',
  create: 'If-None-Match',
}

test('options name the parameters that the document names', () => {
  const named = (method: string, path: string, position: string) =>
    (document.paths[path]?.[method]?.parameters ?? [])
      .filter((one) => one.in === position)
      .map(({ name }) => name)
      .toSorted()
  const given = (options: Readonly<Record<string, string>>, ...others: string[]) =>
    [...new Set([...Object.values(options), ...others])].filter((name) => name !== 'call').toSorted()
  const [ofCollection, ofMember] = ['/v1/{collection}', '/v1/{collection}/{key}']
  expect(given({ ...pageOptions, ...findPageOptions }, 'since')).toEqual(named('get', ofCollection, 'query')) // since: of a watch
  expect(given(selection)).toEqual(named('delete', ofCollection, 'query'))
  expect(given(changesOptions, 'collection')).toEqual(named('get', '/v1/_changes', 'query'))
  expect(given(collectionsPageOptions)).toEqual(named('get', '/v1', 'query'))
  expect(given(historyOptions)).toEqual(named('get', '/v1/_history/{collection}/{key}', 'query'))
  expect(given({}, 'at', 'since', 'wait')).toEqual(named('get', ofMember, 'query'))
  expect(given(expiryOptions)).toEqual(named('post', ofCollection, 'query'))
  for (const method of ['put', 'patch']) {
    expect(given(expiryOptions)).toEqual(named(method, ofMember, 'query'))
  }
  for (const method of ['put', 'patch', 'delete']) {
    // The client knows revisions, and needs no dates.
    // The client tries again only what is safe to repeat, and so sends no keys.
    const others = ['If-Unmodified-Since', ...(method === 'patch' ? ['Idempotency-Key'] : [])]
    expect(given(conditionOptions, ...others)).toEqual(named(method, ofMember, 'header'))
  }
})

/** The requests of the client and their responses, each validated against the document's schema for it. */
class Held {
  /** Operations of the document. */
  readonly called = new Set<string>()
  readonly wrong: unknown[] = []

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const response: Response = await fetch(url, init)
    const { pathname } = new URL(url)
    const path = Object.keys(document.paths).find((path) => fits(path, pathname)) ?? ''
    const operation = document.paths[path]?.[`${init.method}`.toLowerCase()]
    const documented = operation?.responses[response.status]
    const where = `${init.method} ${pathname} ${response.status}`
    if (operation === undefined || documented === undefined)
      this.wrong.push(`${where} is not in the document`)
    else this.called.add(operation.operationId)
    const type = response.headers.get('content-type')?.split(';', 1)[0] ?? ''
    const schema = documented?.content?.[type]?.schema
    if (init.method === 'HEAD' || schema === undefined || !/json$/.test(type)) return response
    const text = await response.text()
    const parts = type === 'application/x-ndjson' ? text.trimEnd().split('\n') : [text]
    for (const part of parts) this.hold(schema, JSON.parse(part), where)
    return new Response(text, response)
  }

  hold(schema: object, value: unknown, where: string): void {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    const validate = ajv.compile({ ...schema, components: document.components })
    if (!validate(value)) this.wrong.push({ where, value, errors: validate.errors })
  }
}

/** Names of kvist's own are no parameters; a key is the rest of the path. */
function fits(path: string, pathname: string): boolean {
  const pattern = path
    .replace('{key}', '.+')
    .replace('{id}', '[^/]+')
    .replace('{collection}', path.includes('_') ? '[^/]+' : '[^_/][^/]*')
  return new RegExp(`^${pattern}$`).test(pathname)
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

async function callAccess(kvist: Kvist, has: (value: object | undefined, names: object) => void) {
  const grants = [{ collections: 'c*', key_prefix: 't1/', can: ['read', 'write'] }] as const
  const created = await kvist.tokens.create({ name: 'app', grants, expires_in: '90d', rate_limit: '50/s' })
  const { subject: _, ...withText } = createdToken
  has(created, withText)
  has(created.grants[0], grant)
  await kvist.tokens.create({ name: 'app', grants, rate_limit: '50/s', subject: 'CN=app' })
  has(
    (await kvist.tokens.list()).find(({ subject }) => subject !== undefined),
    token,
  )
  const { rate_limit: _of, ...usual } = identity
  has(await kvist.whoami(), usual)
  has(await kvist.ticket('/v1/c'), ticket)
  has(await kvist.nodes.status(), requiredOf(nodesStatus))
  has(await kvist.engine(), engineStatus)
  for await (const _ of await kvist.backup());
  // This server keeps no archive.
  for (const asked of [() => kvist.collection('r').history('k'), () => kvist.collection('r').getAt('k', 1)])
    expect((await asked().catch((error) => error)).code).toBe('not_implemented')
  const line = { op: 'delete', collection: 'r', key: 'k', origin: { node: 'n1', clock: 1 } }
  const { failed_more: _more, position: _position, ...allNamed } = replicationSummary
  has(await kvist.nodes.replicate(`${JSON.stringify(line)}\n`, 'n1'), allNamed)
  has(await kvist.nodes.replica('', 'n1'), replicaPage)
  const demotion = { node: 'n1', url: null, term: 1, of: null }
  has(await kvist.nodes.demote(demotion), demoteResult)
  has(await kvist.nodes.promote({ force: true }), promoteResult)
  const found = await kvist.nodes.lookup([{ collection: 'r', key: 'k' }], 0)
  has(found, lookedUp)
  has(found.versions[0] ?? {}, lookedUpTombstone)
  await kvist.nodes.replicate(`${JSON.stringify({ ...line, origin: { node: 'n2', clock: 2 } })}\n`, 'n1')
  const put = { op: 'put', value: 1, created_at: '2026-01-01T00:00:00Z', expires_at: null }
  await kvist.nodes.replicate(
    `${JSON.stringify({ ...line, ...put, origin: { node: 'n3', clock: 3 } })}\n`,
    'n3',
  )
  const { comparison } = kvist.nodes
  has(await comparison.collections(), { node: 1, now: 1, collections: 1 })
  const range = { collection: 'r', from: null, to: null, at: '2026-01-01T00:00:00Z' }
  has(await comparison.digests({ ...range, members: 10 }), { node: 1, ranges: 1 })
  has(await comparison.versions({ ...range, limit: 10 }), { node: 1, versions: 1, next: 1 })
  const states = await comparison.states([{ collection: 'r', key: 'k' }], range.at)
  has(states, { node: 1, forgotten_clock: 1, states: 1 })
  has(states.states[0], { type: 1, origin: 1, expires_at: 1 })
  expect(await all(comparison.entries([{ collection: 'r', key: 'k' }]))).toHaveLength(1)
  const conflicts = await kvist.nodes.conflicts({ collection: 'r', limit: 10 })
  has(conflicts, conflictsPage)
  has(conflicts.conflicts[0], conflict)
  has(conflicts.conflicts[0]?.lost, { type: 1, origin: 1, written_at: 1, revision: 1 })
  expect(await kvist.tokens.revoke(created.id)).toBe(true)
}

test('each operation is called, and its responses are as the document and the types say', async () => {
  const held = new Held()
  const kvist = new Kvist(server.url, { fetch: held.fetch })
  const c = kvist.collection<unknown>('c')
  const has = (value: object | undefined, names: object) => expect(sorted(value ?? {})).toEqual(sorted(names))

  has(await c.put('a', { n: 1 }, { expireIn: '1h' }), stored)
  has(await c.put('b', new Uint8Array([1, 2])), stored)
  has(await c.add('x'), stored)
  has(await c.patch('a', { m: 1 }), stored)
  has(await c.jsonPatch('a', [{ op: 'remove', path: '/m' }]), stored)
  has(await c.increment('a', 1, { path: '/n' }), incremented)
  has((await c.touch('a', { expireIn: 'never' })) ?? undefined, stored)
  await c.get('a')
  await c.head('a')
  await c.getWhenChanged('a', null)
  const [read, missing] = await c.getMany(['a', 'nobody'])
  has(read ?? undefined, requiredOf(member))
  expect(missing).toBeNull()
  const listed = await c.page({ delimiter: '/' })
  has(listed, page)
  for (const one of listed.members) has(one, requiredOf(member))
  const { members } = await c.page({ include: 'all' })
  for (const one of members) has(one, member)
  has(members[0]?.origin, origin)
  expect((await c.page({ include: 'keys', limit: 1 })).next).toBeString()
  for (const one of await all(c.export({ include: 'values' }))) {
    expect(sorted(memberValue)).toEqual(expect.arrayContaining(sorted(one)))
  }
  expect((await all(c.export())).length).toBe(3)
  const collections = await kvist.collectionsPage()
  has(collections, collectionsPage)
  has(collections.collections[0], collectionInfo)
  const { failed_more: _, ...alwaysThere } = importSummary
  const summary = await c.import([{ key: '', value: 1 }])
  has(summary, alwaysThere)
  has(summary.failed[0], importFailure)
  await c
    .import(Array.from({ length: 1001 }, () => ({ key: '', value: 1 })))
    .then((one) => has(one, importSummary))
  await kvist.batch({
    checks: [{ collection: 'c', key: 'new', revision: null }],
    operations: [
      { op: 'put', collection: 'c', key: 'new', value: 1, expire_in: 5 },
      { op: 'increment', collection: 'c', key: 'new', path: '', by: 2 },
      { op: 'touch', collection: 'c', key: 'new', expire_at: null },
      { op: 'delete', collection: 'c', key: 'new' },
    ],
  })
  const withRevision = { ...settings, revision: 'required' } as const
  has(await c.settings(), withRevision)
  const check = await c.checkSchema({ type: 'object' })
  has(check, schemaCheck)
  has(check.broken[0], brokenMember)
  has(check.broken[0]?.violations[0], violation)
  has(await c.setSettings({ default_ttl: 60, sliding: true }), withRevision)
  const changes = await kvist.changesPage()
  has(changes, requiredOf(changesPage))
  expect(changes.changes.map(({ type }) => type)).toContain('delete')
  for (const change of changes.changes) has(change, requiredOf(change.type === 'put' ? putChange : endChange))
  const { changes: whole } = await kvist.changesPage({ include: 'all' })
  for (const change of whole) has(change, change.type === 'put' ? putChange : endChange)
  for await (const { type, json } of kvist.watchRaw({ since: 0 })) {
    held.hold({ $ref: '#/components/schemas/Change' }, JSON.parse(json), `event ${type}`)
    if (type === 'delete') break
  }
  const query = { collection: 'c', where: '@', order: '@', count: true, explain: true }
  await held.fetch(`${server.url}/v1/_query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(query),
  })
  await c.delete('a')
  expect(await c.drop()).toBe(2)
  await callAccess(kvist, has)
  const refusals = [
    c.put('a', 1, { ifRevision: 1 }),
    c.put('a', 1, { expireIn: '9999999d' }),
    c.jsonPatch('a', []),
  ]
  for (const refused of refusals) {
    const error = await refused.catch((error) => error)
    const { request_id: _, ...common } = problem
    expect(sorted(error.problem)).toEqual(expect.arrayContaining(sorted(common)))
  }

  expect(held.wrong).toEqual([])
  const documented = Object.entries(document.paths).filter(([path]) => path.startsWith('/v1'))
  const ids = documented.flatMap(([, item]) => Object.values(item).map(({ operationId }) => operationId))
  // Settings that are set to nothing are as good as deleted.
  expect([...new Set([...held.called, 'deleteSettings'])].toSorted()).toEqual(ids.toSorted())
})
