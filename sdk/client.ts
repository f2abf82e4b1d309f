/**
 * The TypeScript client of kvist's HTTP API. It needs only Web standards, above all `fetch`, so it runs in Bun, Node
 * 20, Deno and browsers. README.md is a tour.
 *
 *     const users = new Kvist('http://127.0.0.1:7070').collection<User>('users')
 *     await users.put('ada', { name: 'Ada' })
 *     for await (const { key, value } of users.list({ prefix: 'a' })) console.log(key, value.name)
 */

export type {
  Capability,
  CreatedToken,
  Grant,
  Identity,
  NewCertificateToken,
  NewToken,
  Ticket,
  Token,
} from './access-types.ts'
export type { Batch, SeparateBatch } from './batch.ts'
export type {
  BatchCheck,
  BatchDelete,
  BatchIncrement,
  BatchOperation,
  BatchPut,
  BatchResult,
  BatchResults,
  BatchTouch,
  FailedOperation,
  SeparateResults,
} from './batch-types.ts'
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
  KvistNotUniqueError,
  KvistPreconditionError,
  KvistSchemaError,
  KvistTimeoutError,
  KvistUnreachableError,
  KvistValueError,
  type Problem,
  type ResponseCode,
  type Violation,
} from './errors.ts'
export type {
  CountOptions,
  Explanation,
  Fields,
  FindOptions,
  FindPageOptions,
  FoundPage,
} from './find.ts'
export type { ArchivedVersion, History } from './history-types.ts'
export { Kvist } from './kvist.ts'
export type {
  Conflict,
  ConflictsPage,
  DemoteResult,
  FollowerStatus,
  HealStatus,
  LeaderStatus,
  LookedUp,
  LookedUpMember,
  LookedUpTombstone,
  LookedUpVersion,
  LostVersion,
  NodesStatus,
  OriginStatus,
  PromoteResult,
  ReplicaPage,
  ReplicationSummary,
  TargetStatus,
} from './node-types.ts'
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
  SchemaCheckOptions,
  ScopeOptions,
  Selection,
  SettingsOptions,
  TouchOptions,
  WaitOptions,
} from './options.ts'
export type { CallOptions } from './request.ts'
export type {
  BrokenMember,
  IndexSettings,
  JsonSchema,
  SchemaCheck,
  Settings,
  StoredSettings,
} from './settings-types.ts'
export type { TlsOptions } from './tls.ts'
export type { Tokens } from './tokens.ts'
export type {
  Change,
  ChangesPage,
  CollectionInfo,
  CollectionsPage,
  EndChange,
  ExpiryFields,
  Found,
  ImportFailure,
  ImportItem,
  ImportSummary,
  Include,
  Incremented,
  JsonPatchOperation,
  LeaveChange,
  Listed,
  Member,
  MemberKey,
  MemberRef,
  MemberValue,
  MergePatch,
  Metadata,
  Origin,
  Page,
  PutChange,
  RawValue,
  ResumePoint,
  Stored,
  WatchEvent,
  WatchReset,
} from './types.ts'
export type { Bytes } from './values.ts'
export type { RawEvent, Watch, WatchMembersOptions, WatchOptions, WatchRawOptions } from './watch.ts'
export { Field, field, Where, type WhereValue, where } from './where.ts'
