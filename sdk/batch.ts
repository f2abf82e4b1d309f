import type {
  BatchCheck,
  BatchDelete,
  BatchIncrement,
  BatchOperation,
  BatchPut,
  BatchResult,
  BatchTouch,
  FailedOperation,
  SeparateResults,
} from './batch-types.ts'
import {
  anything,
  array,
  checkFields,
  checkValue,
  contentType,
  finiteNumber,
  jsonPointer,
  oneOf,
  optional,
  type Rule,
  type Rules,
  wholeNumber,
} from './checks.ts'
import { KvistInputError } from './errors.ts'
import { checkOneExpiry, expiryRules } from './expiry.ts'
import { collectionName, memberKey } from './names.ts'
import type { ExpiryFields } from './types.ts'
import { valueMembers } from './values.ts'

/** Builds the body of a batch. */

export interface Batch<Operations extends readonly BatchOperation[] = readonly BatchOperation[]> {
  readonly checks?: readonly BatchCheck[] | undefined
  readonly operations?: Operations | undefined
  readonly atomic?: true | undefined
}

/** A batch whose operations are executed each by itself: on a cluster they may be on any members. */
export interface SeparateBatch<Operations extends readonly BatchOperation[] = readonly BatchOperation[]> {
  readonly operations: Operations
  readonly atomic: false
}

/** Returns the JSON of a batch. Throws a KvistInputError that names the bad part. */
export function batchBody(given: Batch | SeparateBatch): string {
  const batch: Omit<Batch, 'atomic'> & { readonly atomic?: boolean | undefined } = given
  checkFields<typeof batch>(batch, batchRules, '')
  const { checks = [], operations = [], atomic = true } = batch
  if (!atomic && checks.length > 0) throw new KvistInputError('a batch that is not atomic has no checks')
  checks.forEach((check, i) => void checkFields<BatchCheck>(check, checkRules, `checks[${i}]: `))
  const texts = operations.map((operation, i) => operationText(operation, `operations[${i}]: `))
  const condition = atomic ? `"checks":${JSON.stringify(checks)}` : '"atomic":false'
  return `{${condition},"operations":[${texts.join(',')}]}`
}

const batchRules = {
  checks: optional(array),
  operations: optional(array),
  atomic: optional(oneOf(true, false)),
}

const revision = wholeNumber(1)

const checkRules: Rules<BatchCheck> = {
  collection: collectionName,
  key: memberKey,
  revision: (given) =>
    given === null || revision(given) === null ? null : 'a revision, or null for "must not exist"',
}

const ofMember = { op: anything, collection: collectionName, key: memberKey } as const
const putRules: Rules<BatchPut> = {
  ...ofMember,
  ...expiryRules,
  value: anything, // it is checked where it is encoded
  content_type: optional(contentType),
  flags: optional(wholeNumber(0)),
}
const deleteRules: Rules<BatchDelete> = ofMember
const touchRules: Rules<BatchTouch> = { ...ofMember, ...expiryRules }
const incrementRules: Rules<BatchIncrement> = {
  ...ofMember,
  path: optional(jsonPointer),
  by: optional(finiteNumber),
  if_created: anything, // it is checked as fields of its own
}

const operationRules: { readonly [Op in BatchOperation['op']]: Readonly<Record<string, Rule>> } = {
  put: putRules,
  delete: deleteRules,
  increment: incrementRules,
  touch: touchRules,
}

const operationName = oneOf(...Object.keys(operationRules))

function operationText(given: BatchOperation, where: string): string {
  checkValue('op', Object(given).op, operationName, where)
  const operation: unknown = given
  checkFields<BatchOperation>(operation, operationRules[given.op] as Rules<BatchOperation>, where)
  if (operation.op === 'increment' && operation.if_created !== undefined)
    checkExpiry(operation.if_created, `${where}if_created: `)
  if (operation.op === 'put') checkOneExpiry(operation, where)
  if (operation.op === 'touch' && !checkOneExpiry(operation, where))
    throw new KvistInputError(`${where}a touch needs expire_in or expire_at; null is never`)
  if (operation.op !== 'put') return JSON.stringify(operation)
  const { value, content_type, ...others } = operation
  return `${JSON.stringify(others).slice(0, -1)},${valueMembers(value, content_type, `${where}the value`)}}`
}

function checkExpiry(given: unknown, where: string): void {
  checkFields<ExpiryFields>(given, expiryRules, where)
  checkOneExpiry(given, where)
}

/** The server's response: one array for each kind of result. */
export interface BatchResponse {
  /** Null for an operation that failed. */
  readonly revisions: readonly (number | null)[]
  /** The number of each increment; null for other operations. */
  readonly values: readonly (number | null)[]
  /** Of a batch that is not atomic: the operations that failed. */
  readonly errors?: readonly { readonly index: number; readonly code: string; readonly detail: string }[]
}

export function batchResults<Operations extends readonly BatchOperation[]>({
  revisions,
  values,
  errors = [],
}: BatchResponse): SeparateResults<Operations> {
  const failed = new Map(errors.map(({ index, ...error }) => [index, error]))
  const results = revisions.map((revision, i) => {
    const error = failed.get(i)
    if (error !== undefined) return { error }
    const value = values[i] ?? null
    return value === null ? { revision } : { revision, value }
  })
  return results as readonly (BatchResult | FailedOperation)[] as SeparateResults<Operations>
}
