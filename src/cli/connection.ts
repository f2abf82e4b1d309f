import { Kvist } from '../../sdk/client.ts'
import { options as serveOptions } from '../config.ts'
import { anyText, choice, toggle } from '../option-kinds.ts'
import { option, type Values } from '../options.ts'

/** What every command that talks to a server takes. */
export const connectionOptions = {
  url: option({
    ...anyText('URL'),
    flag: 'url',
    env: 'KVIST_URL',
    default: 'http://127.0.0.1:7070',
    help: 'the server',
  }),
  token: serveOptions.token,
}

export const collectionOption = option({
  ...anyText('NAME'),
  flag: 'collection',
  short: 'c',
  default: 'keys',
  help: 'the collection',
})

export const jsonOption = option({
  ...toggle(),
  flag: 'json',
  default: false,
  help: 'print JSON',
})

export const quietOption = option({
  ...toggle(),
  flag: 'quiet',
  short: 'q',
  default: false,
  help: 'neither a progress bar nor a summary',
})

/** A text that is passed on as it is: the server knows what it may be. */
export const optionalText = (flag: string, unit: string, help: string) =>
  option<string | undefined>({ ...anyText(unit), flag, default: undefined, help })

/** Which members of a collection. */
export const selectionOptions = {
  prefix: optionalText('prefix', 'TEXT', 'only keys that begin with this'),
  filter: optionalText('filter', 'PATTERN', 'only keys like this; * is any run of characters, ? is one'),
  match: optionalText('match', 'PATTERN', 'only members with a top-level value like this'),
  from: optionalText('from', 'KEY', 'only from this key on'),
  to: optionalText('to', 'KEY', 'only keys before this one'),
  order: option<'asc' | 'desc' | undefined>({
    ...choice<'asc' | 'desc'>('asc', 'desc'),
    flag: 'order',
    default: undefined,
    help: 'by key, forwards or backwards',
  }),
}

/** Whoever waits at the terminal is told at once what is wrong, and decides how long to wait. */
export function connect(given: Values<typeof connectionOptions>): Kvist {
  return new Kvist(given.url, { token: given.token ?? undefined, retries: 0, timeoutMs: 0 })
}
