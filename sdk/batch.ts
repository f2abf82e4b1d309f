import {
  anything,
  array,
  type Check,
  type Checks,
  checkFields,
  checkValue,
  duration,
  finiteNumber,
  jsonPointer,
  oneOf,
  optional,
  time,
  wholeNumber,
} from './checks.ts'
import { KvistInputError } from './errors.ts'
import { jsonOf } from './json.ts'
import { collectionName, memberKey } from './names.ts'
import type { BatchCheck, BatchDelete, BatchIncrement, BatchOperation, BatchPut } from './types.ts'
import { bytesOf } from './values.ts'

/** The body of a batch. */

export interface Batch {
  readonly checks?: readonly BatchCheck[] | undefined
  readonly operations?: readonly BatchOperation[] | undefined
}

/** Throws KvistInputError with the place of what is wrong. */
export function batchBody(batch: Batch): string {
  checkFields<Batch>(batch, { checks: optional(array), operations: optional(array) }, '')
  const { checks = [], operations = [] } = batch
  checks.forEach((check, i) => void checkFields<BatchCheck>(check, checkChecks, `checks[${i}]: `))
  const texts = operations.map((operation, i) => operationText(operation, `operations[${i}]: `))
  return `{"checks":${JSON.stringify(checks)},"operations":[${texts.join(',')}]}`
}

const revision = wholeNumber(1)

const checkChecks: Checks<BatchCheck> = {
  collection: collectionName,
  key: memberKey,
  revision: (given) =>
    given === null || revision(given) === null ? null : 'a revision, or null for "must not exist"',
}

const ofMember = { op: anything, collection: collectionName, key: memberKey } as const
const putChecks: Checks<BatchPut> = {
  ...ofMember,
  value: anything, // it is checked where it is encoded
  expire_in: optional(duration),
  expire_at: optional(time),
}
const deleteChecks: Checks<BatchDelete> = ofMember
const incrementChecks: Checks<BatchIncrement> = {
  ...ofMember,
  path: optional(jsonPointer),
  by: optional(finiteNumber),
}

const operationChecks: { readonly [Op in BatchOperation['op']]: Readonly<Record<string, Check>> } = {
  put: putChecks,
  delete: deleteChecks,
  increment: incrementChecks,
}

const operationName = oneOf(...Object.keys(operationChecks))

function operationText(given: BatchOperation, where: string): string {
  checkValue('op', Object(given).op, operationName, where)
  const operation: unknown = given
  checkFields<BatchOperation>(operation, operationChecks[given.op] as Checks<BatchOperation>, where)
  if (operation.op !== 'put') return JSON.stringify(operation)
  const { value, ...others } = operation
  if (bytesOf(value) !== null) throw new KvistInputError(`${where}a batch takes no bytes`)
  return `${JSON.stringify(others).slice(0, -1)},"value":${jsonOf(value, `${where}the value`)}}`
}
