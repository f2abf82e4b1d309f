import {
  abortSignal,
  anything,
  type Check,
  type Checks,
  callback,
  contentType,
  duration,
  jsonPointer,
  milliseconds,
  nonEmptyText,
  oneOf,
  optional,
  resumePoint,
  text,
  time,
  wholeNumber,
} from './checks.ts'
import type { CollectionOptions, KvistOptions } from './kvist.ts'
import type {
  AddOptions,
  ChangesOptions,
  ConditionOptions,
  DropOptions,
  ExpiryOptions,
  IncrementOptions,
  ListOptions,
  PageOptions,
  PatchOptions,
  PutOptions,
  PutRawOptions,
  ScopeOptions,
  Selection,
  WaitOptions,
} from './options.ts'
import type { CallOptions } from './request.ts'
import type { Settings } from './types.ts'
import type { WatchMembersOptions, WatchOptions } from './watch.ts'

/** A check for each option of each call; one too many or too few does not compile. */

export const callChecks: Checks<CallOptions> = {
  signal: optional(abortSignal),
  timeoutMs: optional(milliseconds),
  retries: optional(wholeNumber(0)),
}

const revision = wholeNumber(1)

export const conditionChecks: Checks<ConditionOptions> = {
  ...callChecks,
  ifRevision: (given) =>
    given === 'any' || revision(given) === null
      ? null
      : 'a revision or "any" ({ create: true } is for a member that must not exist)',
  create: optional(oneOf(true, false)),
}

const expiryChecks: Checks<ExpiryOptions> = { expireIn: optional(duration), expireAt: optional(time) }

export const addChecks: Checks<AddOptions> = {
  ...callChecks,
  ...expiryChecks,
  contentType: optional(contentType),
}

export const patchChecks: Checks<PatchOptions> = { ...conditionChecks, ...expiryChecks }

export const putRawChecks: Checks<PutRawOptions> = { ...conditionChecks, ...expiryChecks }

export const putChecks: Checks<PutOptions> = { ...putRawChecks, contentType: optional(contentType) }

export const incrementChecks: Checks<IncrementOptions> = { ...patchChecks, path: optional(jsonPointer) }

export const dropChecks: Checks<DropOptions> = {
  ...callChecks,
  prefix: nonEmptyText,
  filter: nonEmptyText,
  match: nonEmptyText,
  from: nonEmptyText,
  to: nonEmptyText,
}

const selectionChecks: Checks<Selection> = {
  prefix: optional(text),
  filter: optional(text),
  match: optional(text),
  from: optional(text),
  to: optional(text),
}

export const listChecks: Checks<ListOptions> = {
  ...callChecks,
  ...selectionChecks,
  order: optional(oneOf('asc', 'desc')),
  include: optional(oneOf('all', 'values', 'keys')),
  limit: optional(wholeNumber(1)),
}

export const pageChecks: Checks<PageOptions> = { ...listChecks, cursor: optional(nonEmptyText) }

const scopeChecks: Checks<ScopeOptions> = { prefix: optional(text), filter: optional(text) }

export const changesChecks: Checks<ChangesOptions> = {
  ...callChecks,
  ...scopeChecks,
  since: optional(resumePoint),
  limit: optional(wholeNumber(1)),
}

/** What a caller of a long poll knows of a member: null that there is none. */
export const knownRevision: Check = (given) =>
  given === null || revision(given) === null ? null : 'a revision, or null for no member'

export const waitChecks: Checks<WaitOptions> = { ...callChecks, waitMs: optional(milliseconds) }

export const watchChecks: Checks<WatchOptions & ScopeOptions> = {
  ...scopeChecks,
  signal: callChecks.signal,
  timeoutMs: callChecks.timeoutMs,
  silenceMs: optional(milliseconds),
  since: optional(resumePoint),
  onConnect: optional(callback),
  onDisconnect: optional(callback),
}

export const watchMembersChecks: Checks<WatchMembersOptions> = { ...watchChecks, key: anything }

const names: Check = (given) =>
  Array.isArray(given) && given.every((name) => text(name) === null) ? null : 'an array of names, or null'

export const settingsChecks: Checks<Partial<Settings>> = {
  processes: (given) => (given === undefined || given === null ? null : names(given)),
  default_ttl: (given) => (given === undefined || given === null ? null : duration(given)),
  sliding: optional(oneOf(true, false)),
}

export const kvistChecks: Checks<KvistOptions> = {
  token: anything, // checked apart, by a message that does not repeat it
  fetch: optional(callback),
  timeoutMs: callChecks.timeoutMs,
  retries: callChecks.retries,
}

export const collectionChecks: Checks<CollectionOptions<unknown>> = { parse: optional(callback) }
