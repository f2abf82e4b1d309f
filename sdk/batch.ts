import {
  anything,
  array,
  checkFields,
  checkValue,
  duration,
  finiteNumber,
  jsonPointer,
  oneOf,
  optional,
  type Rule,
  type Rules,
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

/** Throws KvistInputError that names the part that is wrong. */
export function batchBody(batch: Batch): string {
  checkFields<Batch>(batch, { checks: optional(array), operations: optional(array) }, '')
  const { checks = [], operations = [] } = batch
  checks.forEach((check, i) => void checkFields<BatchCheck>(check, checkRules, `checks[${i}]: `))
  const texts = operations.map((operation, i) => operationText(operation, `operations[${i}]: `))
  return `{"checks":${JSON.stringify(checks)},"operations":[${texts.join(',')}]}`
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
  value: anything, // it is checked where it is encoded
  expire_in: optional(duration),
  expire_at: optional(time),
}
const deleteRules: Rules<BatchDelete> = ofMember
const incrementRules: Rules<BatchIncrement> = {
  ...ofMember,
  path: optional(jsonPointer),
  by: optional(finiteNumber),
}

const operationRules: { readonly [Op in BatchOperation['op']]: Readonly<Record<string, Rule>> } = {
  put: putRules,
  delete: deleteRules,
  increment: incrementRules,
}

const operationName = oneOf(...Object.keys(operationRules))

function operationText(given: BatchOperation, where: string): string {
  checkValue('op', Object(given).op, operationName, where)
  const operation: unknown = given
  checkFields<BatchOperation>(operation, operationRules[given.op] as Rules<BatchOperation>, where)
  if (operation.op !== 'put') return JSON.stringify(operation)
  const { value, ...others } = operation
  if (bytesOf(value) !== null) throw new KvistInputError(`${where}a batch takes no bytes`)
  return `${JSON.stringify(others).slice(0, -1)},"value":${jsonOf(value, `${where}the value`)}}`
}
