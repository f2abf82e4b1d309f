/**
 * The TypeScript client of kvist's HTTP API. It needs only Web standards, above all `fetch`, so it runs in Bun, Node
 * 20, Deno and browsers. README.md is a tour.
 *
 *     const users = new Kvist('http://127.0.0.1:7070').collection<User>('users')
 *     await users.put('ada', { name: 'Ada' })
 *     for await (const { key, value } of users.list({ prefix: 'a' })) console.log(key, value.name)
 */

export type { Batch, SeparateBatch } from './batch.ts'
export type { Collection } from './collection.ts'
export type {
  ComparedCollections,
  ComparedRange,
  DigestsQuery,
  KeyVersions,
  MemberStates,
  NodeComparison,
  RangeDigests,
  StateOfMember,
} from './comparison.ts'
export type { EngineLine, EnginePrimary, EngineReplica, EngineStatus } from './engine-types.ts'
export {
  type ErrorCode,
  KvistCompactedError,
  KvistError,
  KvistHttpError,
  KvistInputError,
  KvistNotFoundError,
  KvistPreconditionError,
  KvistTimeoutError,
  KvistUnreachableError,
  KvistValueError,
  type Problem,
  type ResponseCode,
} from './errors.ts'
export type { ArchivedVersion, History } from './history-types.ts'
export { Kvist } from './kvist.ts'
export type { Nodes } from './nodes.ts'
export type {
  AddOptions,
  ChangesOptions,
  CollectionOptions,
  CollectionsOptions,
  CollectionsPageOptions,
  ConditionOptions,
  ConflictsOptions,
  DropOptions,
  ExpiryOptions,
  HistoryOptions,
  IncrementOptions,
  KvistOptions,
  ListOptions,
  PageOptions,
  PagesOptions,
  PatchOptions,
  PromoteOptions,
  PutOptions,
  PutRawOptions,
  PutTextOptions,
  ReplicaOptions,
  ReplicateOptions,
  ScopeOptions,
  Selection,
  TouchOptions,
  WaitOptions,
} from './options.ts'
export type { CallOptions } from './request.ts'
export type { TlsOptions } from './tls.ts'
export type { Tokens } from './tokens.ts'
export type {
  BatchCheck,
  BatchDelete,
  BatchIncrement,
  BatchOperation,
  BatchPut,
  BatchResult,
  BatchResults,
  BatchTouch,
  Capability,
  Change,
  ChangesPage,
  CollectionInfo,
  CollectionsPage,
  Conflict,
  ConflictsPage,
  CreatedToken,
  DemoteResult,
  EndChange,
  ExpiryFields,
  FailedOperation,
  FollowerStatus,
  Found,
  Grant,
  HealStatus,
  Identity,
  ImportFailure,
  ImportItem,
  ImportSummary,
  Include,
  Incremented,
  JsonPatchOperation,
  LeaderStatus,
  Listed,
  LookedUp,
  LookedUpMember,
  LookedUpTombstone,
  LookedUpVersion,
  LostVersion,
  Member,
  MemberKey,
  MemberRef,
  MemberValue,
  MergePatch,
  Metadata,
  NewCertificateToken,
  NewToken,
  NodesStatus,
  Origin,
  OriginStatus,
  Page,
  PromoteResult,
  PutChange,
  RawValue,
  ReplicaPage,
  ReplicationSummary,
  ResumePoint,
  SeparateResults,
  Settings,
  Stored,
  TargetStatus,
  Ticket,
  Token,
  WatchEvent,
  WatchReset,
} from './types.ts'
export type { Bytes } from './values.ts'
export type { RawEvent, Watch, WatchMembersOptions, WatchOptions } from './watch.ts'
