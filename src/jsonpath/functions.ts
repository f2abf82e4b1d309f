import type { FunctionName } from './syntax.ts'

/** The types of RFC 9535, 2.4.1: one value or nothing, true or false, any number of values. */
export type FunctionType = 'value' | 'logical' | 'nodes'

/** A pattern is a value that is a regular expression (RFC 9485). */
export type ParameterType = 'value' | 'nodes' | 'pattern'

interface FunctionSignature {
  readonly parameters: readonly ParameterType[]
  readonly result: FunctionType
}

const functions: Readonly<Record<FunctionName, FunctionSignature>> = {
  length: { parameters: ['value'], result: 'value' },
  count: { parameters: ['nodes'], result: 'value' },
  value: { parameters: ['nodes'], result: 'value' },
  match: { parameters: ['value', 'pattern'], result: 'logical' },
  search: { parameters: ['value', 'pattern'], result: 'logical' },
}

export const functionNames = Object.keys(functions).join(', ')

export function isFunctionName(name: string): name is FunctionName {
  return Object.hasOwn(functions, name)
}

export function signatureOf(name: FunctionName): FunctionSignature {
  return functions[name]
}
