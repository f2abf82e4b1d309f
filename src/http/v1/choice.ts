import { KvistError } from '../../core/errors.ts'

/** One of the texts that a parameter can have; the first when it is left out. Throws `invalid_parameter` for others. */
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
