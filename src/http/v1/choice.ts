import { KvistError } from '../../core/errors.ts'

/**
 * Returns the given choice; the first one when the parameter is missing. Throws `invalid_parameter` for any other text.
 */
export function parseChoice<Choice extends string>(
  name: string,
  given: string | undefined,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  if (given === undefined) return choices[0]
  const chosen = choices.find((choice) => choice === given)
  if (chosen === undefined)
    throw new KvistError('invalid_parameter', `${name} is one of ${choices.join(', ')}`)
  return chosen
}
