import { parseChoice } from './choice.ts'
import type { Include } from './serializers.ts'

/** Parses what a list shows of its members. */
export function parseInclude(given: string | undefined): Include {
  return given === undefined ? 'metadata' : parseChoice('include', given, ['all', 'values', 'keys'])
}
