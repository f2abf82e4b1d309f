import type { FuncKeywordDefinition } from 'ajv/dist/2020.js'
import type { DataValidateFunction } from 'ajv/dist/types/index.js'
import type { StepBudget } from './budget.ts'

/**
 * The keywords that ajv checks in more than linear time, as sets of texts: an array of many different items is no more work
 * than one of many numbers, and neither is a choice among many values.
 */
export function linearKeywords(budget: StepBudget): FuncKeywordDefinition[] {
  return [enumKeyword(budget), uniqueItemsKeyword(budget)]
}

function enumKeyword(budget: StepBudget): FuncKeywordDefinition {
  return {
    keyword: 'enum',
    schemaType: 'array',
    compile(allowedValues: unknown[]) {
      const allowed = new Set(allowedValues.map((value) => canonical(value, budget)))
      const validate: DataValidateFunction = (value: unknown): boolean => {
        if (allowed.has(canonical(value, budget))) return true
        validate.errors = [{ keyword: 'enum', params: { allowedValues }, message: '' }]
        return false
      }
      return validate
    },
    errors: 'full',
  }
}

function uniqueItemsKeyword(budget: StepBudget): FuncKeywordDefinition {
  return {
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    compile(isRequired: boolean) {
      const validate: DataValidateFunction = (items: unknown[]) => {
        if (!isRequired) return true
        const seen = new Map<string, number>()
        for (const [j, item] of items.entries()) {
          const text = canonical(item, budget)
          const i = seen.get(text)
          if (i === undefined) {
            seen.set(text, j)
            continue
          }
          const message = `must not have equal items (items ${i} and ${j} are equal)`
          validate.errors = [{ keyword: 'uniqueItems', params: { i, j }, message }]
          return false
        }
        return true
      }
      return validate
    },
    errors: 'full',
  }
}

/** Returns a text that is the same for equal JSON values, in whatever order the members of their objects are. */
function canonical(value: unknown, budget: StepBudget): string {
  budget.take()
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, budget)).join()}]`
  if (typeof value !== 'object' || value === null)
    return value === 0 ? '0' : (numberText(value) ?? JSON.stringify(value))
  const fields: [string, unknown][] = Object.entries(value)
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field, budget)}`).join()}}`
}

/** JSON has no infinity, but JSON.parse makes one of 1e999. */
function numberText(value: unknown): string | null {
  return typeof value === 'number' ? String(value) : null
}
