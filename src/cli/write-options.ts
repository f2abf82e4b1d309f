import { wholeNumber } from '../option-kinds.ts'
import { option, type Values } from '../options.ts'
import { optionalText } from './connection.ts'

/** Options of the commands that write a member. */

export const expiryOptions = {
  expireIn: optionalText(
    'expire-in',
    'TIME',
    'how long it lives: seconds, or like 90s, 15m, 12h, 7d, or never',
  ),
  expireAt: optionalText('expire-at', 'TIME', 'when it expires, like 2030-01-31T12:00:00Z'),
}

export const ifRevisionOption = option<number | undefined>({
  ...wholeNumber(1, Number.MAX_SAFE_INTEGER),
  flag: 'if-revision',
  default: undefined,
  help: 'only if the member has this revision',
})

type WriteValues = Values<typeof expiryOptions> & { readonly ifRevision: number | undefined }

/** Returns the options in the client's form. */
export function writeOptions({ expireIn, expireAt, ifRevision }: WriteValues) {
  return { expireIn, expireAt, ...(ifRevision === undefined ? {} : { ifRevision }) }
}
