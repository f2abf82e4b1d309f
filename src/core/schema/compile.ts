import type { Ajv2020, AnySchema, ValidateFunction } from 'ajv/dist/2020.js'
import { KvistError } from '../errors.ts'
import { maxViolationSteps, schemaStepsPerChar, smallestSchemaSteps } from '../limits.ts'
import { budgetName, countingSteps, OutOfSteps, StepBudget } from './budget.ts'
import { formats } from './formats.ts'
import { linearKeywords } from './keywords.ts'
import { patternOf } from './patterns.ts'
import { cut, type Violation, violationsFrom } from './violations.ts'

/** Checks values against one schema. */
export interface ValueCheck {
  /** Returns how a value, the text of JSON, breaks the schema; null if it doesn't. */
  violations(text: string): readonly Violation[] | null
  /** Throws `invalid_schema` if the schema cannot be compiled, or never comes to an end. */
  probe(): void
}

interface Validator {
  readonly validate: ValidateFunction
  readonly budget: StepBudget
}

/**
 * Compiles a schema when it is first needed. A valid value is checked by a validator that ends at the first violation; a
 * second one, for the reasons, is compiled for the first value that is not.
 */
export function compile(text: string): ValueCheck {
  let first: Validator | undefined
  let all: Validator | undefined

  function violations(value: string): readonly Violation[] | null {
    const parsed: unknown = JSON.parse(value)
    first ??= validatorOf(text, false)
    const found = run(first, parsed, smallestSchemaSteps + value.length * schemaStepsPerChar)
    if (found === null || found === 'given up') return found === null ? null : tooMuch
    all ??= validatorOf(text, true)
    // A value that breaks the schema in very many ways is reported with the first one.
    const more = run(all, parsed, maxViolationSteps)
    return more === null || more === 'given up' ? found : more
  }

  return {
    violations,
    probe() {
      for (const value of ['null', '0', '""', '[null]', '{"a":null}']) {
        if (violations(value) !== tooMuch) continue
        throw new KvistError('invalid_schema', 'the schema refers to itself without end', { pointer: '' })
      }
    },
  }
}

const tooMuch: readonly Violation[] = [
  {
    pointer: '',
    keyword: 'limit',
    reason: 'is too deeply nested, or takes too many steps, to be checked against the schema',
  },
]

function run(
  { validate, budget }: Validator,
  value: unknown,
  steps: number,
): readonly Violation[] | 'given up' | null {
  budget.start(steps)
  try {
    if (validate(value)) return null
  } catch (error) {
    // A RangeError is the end of the stack.
    if (error instanceof OutOfSteps || error instanceof RangeError) return 'given up'
    throw error
  }
  const { errors } = validate
  validate.errors = null
  return violationsFrom(errors ?? [])
}

function validatorOf(text: string, allErrors: boolean): Validator {
  const budget = new StepBudget()
  // Compiling takes no steps that count.
  budget.start(Number.POSITIVE_INFINITY)
  const ajv = ajvOf(allErrors, budget)
  const schema: AnySchema = JSON.parse(text)
  try {
    return { validate: ajv.compile(schema), budget }
  } catch (error) {
    throw invalidSchema(error)
  }
}

function ajvOf(allErrors: boolean, budget: StepBudget): Ajv2020 {
  // Loaded when the first schema is: that takes 25 ms, and some MB of memory.
  const { Ajv2020 }: typeof import('ajv/dist/2020.js') = require('ajv/dist/2020.js')
  const ajv = new Ajv2020({
    allErrors,
    // inspect.ts does what these would, and says where.
    validateSchema: false,
    strict: false,
    strictNumbers: true,
    // Names such as "constructor" are those of the value alone.
    ownProperties: true,
    // 19.99 is a multiple of 0.01, which binary fractions are not exact enough for.
    multipleOfPrecision: 9,
    // Inlining could make code of many times the size of the schema; and each call is a step.
    inlineRefs: false,
    logger: false,
    formats: formats(),
    code: {
      process: countingSteps,
      regExp: Object.assign((pattern: string) => patternOf(pattern, budget), { code: 'patternOf' }),
    },
  })
  for (const keyword of linearKeywords(budget)) ajv.removeKeyword(String(keyword.keyword)).addKeyword(keyword)
  return Object.assign(ajv, { [budgetName]: budget })
}

function invalidSchema(error: unknown): unknown {
  if (error instanceof RangeError) {
    const detail = 'the schema refers to itself without end, or its references are nested too deeply'
    return new KvistError('invalid_schema', detail, { pointer: '' })
  }
  const why = error instanceof Error ? error.message : String(error)
  return new KvistError('invalid_schema', `the schema cannot be used: ${cut(why)}`, { pointer: '' }, error)
}
