import { describe, expect, test } from 'bun:test'
import { CostlyFilter, InvalidExpression } from './errors.ts'
import { matcher, parseFilter } from './filter.ts'
import {
  maxExpressionDepth,
  maxExpressionLength,
  maxExpressionNodes,
  maxRegexpStates,
  maxSegments,
  maxSteps,
} from './limits.ts'

function mistakeIn(filter: string): InvalidExpression {
  try {
    parseFilter(filter)
  } catch (error) {
    if (error instanceof InvalidExpression) return error
    throw error
  }
  throw new Error('the filter is valid')
}

describe('an expression that passes a limit is refused, with the position and the limit', () => {
  const nested = (depth: number) => `${'('.repeat(depth)}@.a${')'.repeat(depth)}`
  const cases: readonly [name: string, filter: string, position: number, limit: number][] = [
    ['length', `@.a == "${'x'.repeat(maxExpressionLength)}"`, 0, maxExpressionLength],
    ['parentheses', nested(maxExpressionDepth), maxExpressionDepth, maxExpressionDepth],
    ['nested filters', '@[?'.repeat(100_000 / 5), maxExpressionDepth * 3, maxExpressionDepth],
    ['nested calls', 'length('.repeat(9000), (maxExpressionDepth - 1) * 7 + 7, maxExpressionDepth],
    ['nodes', Array(3000).fill('@.a').join('||'), 6825, maxExpressionNodes],
    ['segments', `@${'[0]'.repeat(maxSegments + 1)}`, maxSegments * 3 + 4, maxSegments],
    ['an index', '@[9007199254740992]', 2, Number.MAX_SAFE_INTEGER],
    ['states', 'match(@, "(a{100}){100}")', 9, maxRegexpStates],
  ]
  for (const [name, filter, position, limit] of cases) {
    test(name, () => {
      const { position: found, limit: passed } = mistakeIn(filter)
      expect([found, passed]).toEqual([position, limit])
    })
  }

  test('and is fine below it', () => {
    parseFilter(nested(maxExpressionDepth - 1))
    parseFilter(`@${'[0]'.repeat(maxSegments)}`)
    parseFilter(Array(1000).fill('@.a').join('||'))
    parseFilter(`@ == ${'1'.repeat(10_000)}`)
  })
})

describe('a malformed expression is named by position and reason', () => {
  const cases: readonly [filter: string, position: number, reason: string][] = [
    ['', 0, 'expected a value such as @.name, "text" or 1, found the end'],
    ['@.a = 1', 4, 'expected "&&", "||" or the end of the filter, found "="'],
    ['@.a == "x', 7, 'the text has no closing "'],
    ['@.a == 01', 8, 'expected "&&", "||" or the end of the filter, found "1"'],
    ['@.a == tru', 7, 'expected a value such as @.name, "text" or 1, found "t"'],
    ['"a"', 3, 'expected a comparison such as "==", found the end'],
    ['!"a"', 1, 'a literal is not a test'],
    ['(@.a', 4, 'expected ")", found the end'],
    ['@.* == 1', 0, 'only a query for a single value can be compared, such as @.a or @["a"][0]'],
    ['length(@.a)', 0, 'length() returns a value, which must be compared'],
    ['match(@.a, "a") == true', 0, 'match() is true or false, and cannot be compared'],
    ['count(1) > 0', 6, 'count() takes a query such as @.*'],
    ['length(@.*) > 0', 7, 'only a query for a single value can be compared, such as @.a or @["a"][0]'],
    ['length() > 0', 7, 'length() takes 1 argument'],
    ['match(@.a) ', 9, 'match() takes 2 arguments'],
    ['match(@.a,"a",) ', 13, 'expected ")" after the arguments of match(), found ","'],
    ['floor(@.a) == 1', 0, 'there is no function floor(); there are length, count, value, match, search'],
    ['match(@.a, "a(")', 11, 'the regular expression is not valid at its position 1: "(" is not closed'],
    ['@.a == "\\x"', 8, 'there is no such escape'],
    ['@.a == "\\ud800"', 8, 'half of a surrogate pair is not a character'],
    ['@.a == "\ud800"', 8, 'half of a surrogate pair is not a character'],
    ['@.a == "\n"', 8, 'control characters must be escaped in a text'],
    ['@.a 😀', 4, 'expected "&&", "||" or the end of the filter, found "😀"'],
  ]
  for (const [filter, position, reason] of cases) {
    test(JSON.stringify(filter), () => {
      const { position: found, reason: given, message } = mistakeIn(filter)
      expect([found, given]).toEqual([position, reason])
      expect(message).toBe(`at position ${position}: ${reason}`)
    })
  }
})

function evaluate(filter: string, value: string): boolean | 'costly' {
  try {
    return matcher(parseFilter(filter))(value)
  } catch (error) {
    if (!(error instanceof CostlyFilter)) throw error
    expect(error.limit).toBeGreaterThan(0)
    return 'costly'
  }
}

describe('large values', () => {
  const deep = `${'['.repeat(100_000)}1${']'.repeat(100_000)}`
  const deepObjects = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`
  const wide = `[${Array(20_000).fill('{"n":1}').join()}]`
  const long = JSON.stringify({ text: 'x'.repeat(200_000), n: 1 })

  const linear: readonly [filter: string, value: string, isSelected: boolean][] = [
    ['@..b', deep, false],
    ['@..[?@ == 1]', deep, true],
    ['count(@..*) == 100000', deep, true],
    ['@ == $', deep, true],
    ['@..b || @..c', deepObjects, false],
    ['@.a.a.a.a == 1', deepObjects, false],
    ['value(@..b) == 1', deepObjects, false],
    ['@[?@.n == 2]', wide, false],
    ['count(@[?@.n == 1]) == 20000', wide, true],
    ['@[-1].n == 1', wide, true],
    ['count(@[::-2]) == 10000', wide, true],
    ['@.n == 1 && @.text == "x"', long, false],
    ['length(@.text) == 200000', long, true],
    ['search(@.text, "(x*)*y")', long, false],
    ['match(@.text, "(x|xx)*")', long, true],
    ['@.text > "xx"', long, true],
  ]
  for (const [filter, value, isSelected] of linear) {
    test(`${filter} is within the steps`, () => expect(evaluate(filter, value)).toBe(isSelected))
  }

  const costly: readonly [filter: string, value: string][] = [
    ['@[?$[?@.n == 2]]', wide],
    ['@..[?@..b]', deep],
    ['@..*..*..b', deepObjects],
    ['@[?count($..*) == 1]', wide],
    ['@[?length($) == 1]', wide],
    [Array(500).fill('@.text < "a"').join('||'), long],
    [Array(500).fill('match(@.text, "x*y")').join('||'), long],
  ]
  for (const [filter, value] of costly) {
    test(`${filter.slice(0, 40)} is an error, not false`, () =>
      expect(evaluate(filter, value)).toBe('costly'))
  }

  test('a matcher goes on with the next value', () => {
    const matches = matcher(parseFilter('@[?$[?@.n == 2]]'))
    expect(() => matches(wide)).toThrow(
      new CostlyFilter(
        `the filter takes more than ${maxSteps(wide.length)} steps on a value of this size`,
        maxSteps(wide.length),
      ),
    )
    expect(matches('[{"n":2}]')).toBe(true)
    expect(matches('[{"n":1}]')).toBe(false)
  })

  test('a small value has steps for nested filters', () => {
    const small = JSON.stringify(Array.from({ length: 30 }, (_, n) => ({ n, tags: ['a', 'b'] })))
    expect(evaluate('@[?$[?@.n == 2] && @..[?@ == "c"]]', small)).toBe(false)
  })
})

describe('patterns in values', () => {
  test('that are no regular expressions match nothing', () => {
    expect(evaluate('match(@.a, @.p) || search(@.a, @.p)', '{"a":"a(","p":"a("}')).toBe(false)
    expect(evaluate('match(@.a, @.p)', '{"a":"aa","p":"a+"}')).toBe(true)
    expect(evaluate('match(@.a, @.p) || search(@.a, 1) || search(1, "1")', '{"a":"1","p":1}')).toBe(false)
  })

  test('that pass a limit are an error', () => {
    const pattern = '(a{1000}){1000}'
    expect(evaluate('match(@.a, @.p)', JSON.stringify({ a: 'a', p: pattern }))).toBe('costly')
  })

  test('are bounded in number', () => {
    const patterns = Array.from({ length: 200 }, (_, i) => `(a{${i % 90}}){20}${i}`)
    expect(evaluate('@[?match("a", @)]', JSON.stringify(patterns))).toBe('costly')
    expect(evaluate('@[?match("a", @)]', JSON.stringify(['b', 'a', 'a+', 'c']))).toBe(true)
  })
})
