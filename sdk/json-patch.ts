import {
  anything,
  array,
  type Check,
  type Checks,
  checkFields,
  checkValue,
  jsonPointer,
  oneOf,
} from './checks.ts'
import { jsonOf } from './json.ts'
import type { JsonPatchOperation } from './types.ts'

/** The body of a JSON patch (RFC 6902). */

type OperationOf<Op> = Extract<JsonPatchOperation, { readonly op: Op }>

const withValue: Checks<OperationOf<'add' | 'replace' | 'test'>> = {
  op: anything,
  path: jsonPointer,
  value: anything, // it is checked where it is written
}
const withFrom: Checks<OperationOf<'move' | 'copy'>> = { op: anything, from: jsonPointer, path: jsonPointer }
const withPath: Checks<OperationOf<'remove'>> = { op: anything, path: jsonPointer }

const operationChecks: { readonly [Op in JsonPatchOperation['op']]: Readonly<Record<string, Check>> } = {
  add: withValue,
  replace: withValue,
  test: withValue,
  remove: withPath,
  move: withFrom,
  copy: withFrom,
}

const operationName = oneOf(...Object.keys(operationChecks))

/** Throws KvistInputError with the place of what is wrong. */
export function jsonPatchBody(operations: readonly JsonPatchOperation[]): string {
  checkValue('the operations', operations, array)
  return `[${operations.map((operation, i) => operationText(operation, `operations[${i}]: `)).join(',')}]`
}

function operationText(operation: JsonPatchOperation, where: string): string {
  checkValue('op', Object(operation).op, operationName, where)
  checkFields(operation, operationChecks[operation.op] as Checks<JsonPatchOperation>, where)
  if (!('value' in operationChecks[operation.op])) return JSON.stringify(operation)
  const { value, ...others } = operation as OperationOf<'add' | 'replace' | 'test'>
  return `${JSON.stringify(others).slice(0, -1)},"value":${jsonOf(value, `${where}the value`)}}`
}
