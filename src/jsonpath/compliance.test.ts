import { describe, expect, test } from 'bun:test'
import suite from '../../node_modules/jsonpath-rfc9535/src/__tests__/jsonpath-compliance-test-suite/cts.json'
import { compileQuery } from './compile.ts'
import { InvalidExpression } from './errors.ts'
import { matcher, parseFilter } from './filter.ts'
import { parseQuery } from './parse.ts'
import { Reader } from './reader.ts'

/**
 * The JSONPath Compliance Test Suite, of https://github.com/jsonpath-standard/jsonpath-compliance-test-suite, as the
 * package jsonpath-rfc9535 ships it.
 */

interface Case {
  readonly name: string
  readonly selector: string
  readonly document?: unknown
  readonly result?: readonly unknown[]
  readonly results?: readonly (readonly unknown[])[]
  readonly invalid_selector?: boolean
}

const cases: readonly Case[] = suite.tests

function parseWhole(text: string) {
  const reader = new Reader(text)
  if (!reader.isNext('$')) reader.failExpecting('"$"')
  const query = parseQuery(reader)
  reader.expectEnd('the end')
  return query
}

/** The filter of `$[?…]` alone, where it has no `$`, which stands for the member's value in a filter of its own. */
function filterIn({ selector, invalid_selector: isInvalid }: Case): string | null {
  const filter = /^\$\[\?(.*)\]$/s.exec(selector)?.[1]
  if (filter === undefined || filter.includes('$')) return null
  if (isInvalid) return filter
  const { segments } = parseWhole(selector)
  return segments.length === 1 && segments[0]!.selectors.length === 1 ? filter : null
}

function childrenOf(document: unknown): unknown[] {
  return typeof document === 'object' && document !== null ? Object.values(document) : []
}

function expectOneOf({ result, results }: Case, found: readonly unknown[]): void {
  const all = results ?? [result]
  expect(all.some((one) => Bun.deepEquals(one, found)) ? found : all[0]).toEqual(found)
}

test('the suite has 687 cases, 354 of them filters', () => {
  expect(cases).toHaveLength(687)
  expect(cases.filter(({ selector }) => selector.startsWith('$[?'))).toHaveLength(354)
})

describe('queries', () => {
  for (const one of cases) {
    test(`${one.name}: ${one.selector}`, () => {
      if (one.invalid_selector) expect(() => parseWhole(one.selector)).toThrow(InvalidExpression)
      else {
        const found = compileQuery(parseWhole(one.selector))(JSON.stringify(one.document, null, 1))
        expectOneOf(
          one,
          found.map((text): unknown => JSON.parse(text)),
        )
      }
    })
  }
})

const filters = cases.filter((one) => filterIn(one) !== null)

describe('filters, with each child as the value', () => {
  test('there are 327', () => expect(filters).toHaveLength(327))
  for (const one of filters) {
    const filter = filterIn(one)!
    test(`${one.name}: ${filter}`, () => {
      if (one.invalid_selector) expect(() => parseFilter(filter)).toThrow(InvalidExpression)
      else {
        const matches = matcher(parseFilter(filter))
        expectOneOf(
          one,
          childrenOf(one.document).filter((child) => matches(JSON.stringify(child))),
        )
      }
    })
  }
})
