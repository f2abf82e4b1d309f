import {
  abortSignal,
  anything,
  callback,
  contentType,
  duration,
  jsonPointer,
  milliseconds,
  nonEmptyText,
  oneOf,
  optional,
  type Rule,
  type Rules,
  resumePoint,
  text,
  wholeNumber,
} from './checks.ts'
import { expiryOptionRules } from './expiry.ts'
import type { CountOptions, FindOptions, FindPageOptions } from './find.ts'
import type {
  AddOptions,
  ChangesOptions,
  CollectionOptions,
  CollectionsOptions,
  CollectionsPageOptions,
  ConditionOptions,
  ConflictsOptions,
  DropOptions,
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
  ReplicaOptions,
  ReplicateOptions,
  SchemaCheckOptions,
  ScopeOptions,
  Selection,
  SettingsOptions,
  WaitOptions,
} from './options.ts'
import type { CallOptions } from './request.ts'
import type { StoredSettings } from './settings-types.ts'
import type { WatchMembersOptions, WatchOptions, WatchRawOptions } from './watch.ts'
import { Field, Where } from './where.ts'

/** The rules of options. Each call has exactly one rule for each of its options, or it does not compile. */

export const callRules: Rules<CallOptions> = {
  signal: optional(abortSignal),
  timeoutMs: optional(milliseconds),
  retries: optional(wholeNumber(0)),
}

const revision = wholeNumber(1)

export const conditionRules: Rules<ConditionOptions> = {
  ...callRules,
  ifRevision: (given) =>
    given === 'any' || revision(given) === null
      ? null
      : 'a revision or "any" ({ create: true } is for a member that must not exist)',
  create: optional(oneOf(true, false)),
}

export const settingsOptionRules: Rules<SettingsOptions> = {
  ...callRules,
  ifRevision: (given) => (given === null || revision(given) === null ? null : 'a revision, or null for none'),
}

export const addRules: Rules<AddOptions> = {
  ...callRules,
  ...expiryOptionRules,
  contentType: optional(contentType),
}

export const historyRules: Rules<HistoryOptions> = {
  ...callRules,
  before: optional(revision),
  limit: optional(wholeNumber(1)),
  include: optional(oneOf('metadata', 'values')),
}

/** A point in time: a revision, a time, or its text. */
export const pointInTime: Rule = (given) =>
  revision(given) === null ||
  nonEmptyText(given) === null ||
  (given instanceof Date && !Number.isNaN(given.getTime()))
    ? null
    : 'a revision, a Date, or a time as text'

export const patchRules: Rules<PatchOptions> = { ...conditionRules, ...expiryOptionRules }

export const putRawRules: Rules<PutRawOptions> = { ...conditionRules, ...expiryOptionRules }

export const putRules: Rules<PutOptions> = { ...putRawRules, contentType: optional(contentType) }

export const incrementRules: Rules<IncrementOptions> = {
  ...patchRules,
  path: optional(jsonPointer),
  ifCreated: anything, // it is checked as options of its own
}

/** Only the server parses it. */
const filterOnValue: Rule = (given) =>
  given instanceof Where || nonEmptyText(given) === null
    ? null
    : 'a filter: a text that is not empty, or what the tag `where` returns'

const field: Rule = (given) => (given instanceof Field || nonEmptyText(given) === null ? null : 'a field')

const fields: Rule = (given) =>
  (
    Array.isArray(given)
      ? given.length > 0 && given.every((one) => field(one) === null)
      : field(given) === null
  )
    ? null
    : 'a field such as "@.name", or a list of them'

export const dropRules: Rules<DropOptions> = {
  ...callRules,
  where: filterOnValue,
  prefix: nonEmptyText,
  filter: nonEmptyText,
  match: nonEmptyText,
  from: nonEmptyText,
  to: nonEmptyText,
}

const selectionRules: Rules<Selection> = {
  where: optional(filterOnValue),
  prefix: optional(text),
  filter: optional(text),
  match: optional(text),
  from: optional(text),
  to: optional(text),
}

export const listRules: Rules<ListOptions> = {
  ...callRules,
  ...selectionRules,
  order: optional(oneOf('asc', 'desc')),
  include: optional(oneOf('all', 'values', 'keys')),
  limit: optional(wholeNumber(1)),
}

export const findRules: Rules<FindOptions> = {
  ...listRules,
  order: optional(fields),
  fields: optional(fields),
}

export const findPageRules: Rules<FindPageOptions> = {
  ...findRules,
  cursor: optional(nonEmptyText),
  count: optional(oneOf(true, false)),
  explain: optional(oneOf(true, false)),
}

export const countRules: Rules<CountOptions> = { ...callRules, ...selectionRules }

export const pagesRules: Rules<PagesOptions> = { ...listRules, delimiter: optional(nonEmptyText) }

export const pageRules: Rules<PageOptions> = { ...pagesRules, cursor: optional(nonEmptyText) }

export const schemaCheckRules: Rules<SchemaCheckOptions> = {
  ...callRules,
  limit: optional(wholeNumber(1)),
  cursor: optional(nonEmptyText),
}

export const collectionsRules: Rules<CollectionsOptions> = { ...callRules, prefix: optional(text) }

export const collectionsPageRules: Rules<CollectionsPageOptions> = {
  ...collectionsRules,
  limit: optional(wholeNumber(1)),
  cursor: optional(nonEmptyText),
}

export const replicateRules: Rules<ReplicateOptions> = {
  ...callRules,
  bridge: optional(oneOf(true, false)),
  knows: optional(text),
  position: optional(nonEmptyText),
  after: optional(nonEmptyText),
}

export const conflictsRules: Rules<ConflictsOptions> = {
  ...callRules,
  collection: optional(nonEmptyText),
  limit: optional(wholeNumber(1)),
  cursor: optional(nonEmptyText),
}

export const replicaRules: Rules<ReplicaOptions> = {
  ...callRules,
  fill: optional(oneOf(true, false)),
  waitMs: optional(milliseconds),
}

export const promoteRules: Rules<PromoteOptions> = {
  ...callRules,
  url: optional(nonEmptyText),
  force: optional(oneOf(true, false)),
}

const scopeRules: Rules<ScopeOptions> = {
  prefix: optional(text),
  filter: optional(text),
  where: optional(filterOnValue),
}

export const changesRules: Rules<ChangesOptions> = {
  ...callRules,
  ...scopeRules,
  since: optional(resumePoint),
  limit: optional(wholeNumber(1)),
  include: optional(oneOf('all')),
  waitMs: optional(milliseconds),
}

/** Requires the revision that the caller of a long poll knows, or null for no member. */
export const knownRevision: Rule = (given) =>
  given === null || revision(given) === null ? null : 'a revision, or null for no member'

export const waitRules: Rules<WaitOptions> = { ...callRules, waitMs: optional(milliseconds) }

export const watchRules: Rules<WatchOptions & ScopeOptions> = {
  ...scopeRules,
  signal: callRules.signal,
  timeoutMs: callRules.timeoutMs,
  silenceMs: optional(milliseconds),
  since: optional(resumePoint),
  onConnect: optional(callback),
  onDisconnect: optional(callback),
}

export const watchRawRules: Rules<WatchRawOptions> = { ...watchRules, include: optional(oneOf('keys')) }

export const watchMembersRules: Rules<WatchMembersOptions> = { ...watchRules, key: anything }

const names: Rule = (given) =>
  Array.isArray(given) && given.every((name) => text(name) === null) ? null : 'an array of names, or null'

const size: Rule = (given) => {
  const isSize = typeof given === 'string' && /^\d{1,15}(\.\d{1,6})? ?([kmgt]i?)?b?$/i.test(given)
  return isSize || wholeNumber(1)(given) === null ? null : 'a number of bytes, or a size such as "64MiB"'
}

/** Only the server checks what is in it. */
const jsonSchema: Rule = (given) =>
  typeof given === 'boolean' || (typeof given === 'object' && given !== null && !Array.isArray(given))
    ? null
    : 'a JSON Schema: an object, or true or false'

export const schemaOrNull: Rule = (given) => (given === null ? null : jsonSchema(given))

/** The server says what is wrong with an index; here only its form is checked. */
const indexes: Rule = (given) =>
  Array.isArray(given) && given.every((one) => typeof one === 'object' && one !== null)
    ? null
    : 'an array of indexes such as {name: "by_country", on: ["@.country"]}'

function orNull(rule: Rule): Rule {
  return (given) => (given === undefined || given === null ? null : rule(given))
}

export const settingsRules: Rules<Partial<StoredSettings>> = {
  processes: orNull(names),
  default_ttl: orNull(duration),
  sliding: optional(oneOf(true, false)),
  max_members: orNull(wholeNumber(1)),
  max_bytes: orNull(size),
  max_value_bytes: orNull(size),
  schema: orNull(jsonSchema),
  indexes: orNull(indexes),
  revision: anything, // it is not sent
}

export const kvistRules: Rules<KvistOptions> = {
  token: anything, // checked apart, by a message that does not repeat it
  tls: anything, // it is checked as options of its own
  fetch: optional(callback),
  timeoutMs: callRules.timeoutMs,
  retries: callRules.retries,
}

export const collectionRules: Rules<CollectionOptions<unknown>> = { parse: optional(callback) }
