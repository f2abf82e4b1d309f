import { kindAt, kinds, stringValue } from './compare.ts'
import { CostlyFilter } from './errors.ts'
import { compileText, type TextOf } from './operands.ts'
import { Regexp } from './regexp.ts'
import { InvalidRegexp } from './regexp-parse.ts'
import type { CompileScope, Test } from './scope.ts'
import type { FunctionCall } from './syntax.ts'

/** Compiles `match(value, pattern)` and `search(value, pattern)`: false unless both are strings. */
export function compileRegexpCall({ name, args }: FunctionCall, scope: CompileScope): Test {
  const [subject, pattern] = args
  const textOf = compileText(subject!, scope)
  const isSearch = name === 'search'
  const regexpOf =
    pattern!.type === 'literal'
      ? ofLiteral(pattern!.json, isSearch)
      : ofValues(compileText(pattern!, scope), isSearch)
  return (evaluation) => {
    const text = stringOf(textOf(evaluation))
    if (text === undefined) return false
    return regexpOf(evaluation)?.test(text, evaluation.countSteps) ?? false
  }
}

type RegexpOf = (evaluation: Parameters<Test>[0]) => Regexp | null

function ofLiteral(json: string, isSearch: boolean): RegexpOf {
  const pattern = stringOf(json)
  const regexp = pattern === undefined ? null : new Regexp(pattern, isSearch)
  return () => regexp
}

/** Patterns in values: those that are not regular expressions match nothing, as RFC 9535 has it. */
function ofValues(patternOf: TextOf, isSearch: boolean): RegexpOf {
  const kept = new Map<string, Regexp | null>()
  return (evaluation) => {
    const pattern = stringOf(patternOf(evaluation))
    if (pattern === undefined) return null
    const found = kept.get(pattern)
    if (found !== undefined) return found
    evaluation.countSteps(pattern.length)
    const regexp = regexpOrNull(pattern, isSearch)
    evaluation.countSteps(regexp?.size ?? 0)
    if (kept.size === keptPatterns) kept.clear()
    kept.set(pattern, regexp)
    return regexp
  }
}

const keptPatterns = 16

function regexpOrNull(pattern: string, isSearch: boolean): Regexp | null {
  try {
    return new Regexp(pattern, isSearch)
  } catch (error) {
    if (!(error instanceof InvalidRegexp)) throw error
    if (error.limit === undefined) return null
    throw new CostlyFilter(`a regular expression in the value: ${error.message}`, error.limit)
  }
}

function stringOf(json: string | undefined): string | undefined {
  const text = json?.trim()
  if (text === undefined || kindAt(text, 0) !== kinds.string) return undefined
  return stringValue(text, 0, text.length)
}
