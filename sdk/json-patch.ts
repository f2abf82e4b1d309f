import {
  anything,
  array,
  checkFields,
  checkValue,
  jsonPointer,
  oneOf,
  type Rule,
  type Rules,
} from './checks.ts'
import { jsonOf } from './json.ts'
import type { JsonPatchOperation } from './types.ts'

/** Builds the body of a JSON patch (RFC 6902). */

type OperationOf<Op> = Extract<JsonPatchOperation, { readonly op: Op }>

const withValue: Rules<OperationOf<'add' | 'replace' | 'test'>> = {
  op: anything,
  path: jsonPointer,
  value: anything, // it is checked where it is written
}
const withFrom: Rules<OperationOf<'move' | 'copy'>> = { op: anything, from: jsonPointer, path: jsonPointer }
const withPath: Rules<OperationOf<'remove'>> = { op: anything, path: jsonPointer }

const operationRules: { readonly [Op in JsonPatchOperation['op']]: Readonly<Record<string, Rule>> } = {
  add: withValue,
  replace: withValue,
  test: withValue,
  remove: withPath,
  move: withFrom,
  copy: withFrom,
}

const operationName = oneOf(...Object.keys(operationRules))

/** Returns the JSON of the operations. Throws a KvistInputError that names the bad operation. */
export function jsonPatchBody(operations: readonly JsonPatchOperation[]): string {
  checkValue('the operations', operations, array)
  return `[${operations.map((operation, i) => operationText(operation, `operations[${i}]: `)).join(',')}]`
}

function operationText(operation: JsonPatchOperation, where: string): string {
  checkValue('op', Object(operation).op, operationName, where)
  checkFields(operation, operationRules[operation.op] as Rules<JsonPatchOperation>, where)
  if (!('value' in operationRules[operation.op])) return JSON.stringify(operation)
  const { value, ...others } = operation as OperationOf<'add' | 'replace' | 'test'>
  return `${JSON.stringify(others).slice(0, -1)},"value":${jsonOf(value, `${where}the value`)}}`
}
