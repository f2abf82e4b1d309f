import { readFileSync } from 'node:fs'
import { Kvist } from '../../sdk/client.ts'
import { anyText, choice, toggle } from '../option-kinds.ts'
import { type Option, option, refuse, type Values } from '../options.ts'
import { options as serveOptions } from '../server-options.ts'
import { tokenOf } from '../token-file.ts'

/**
 * The options of every command that connects to a server. Without a URL, the variables that configure a server of this
 * machine give its address.
 */
export const connectionOptions = {
  url: option<string | undefined>({
    ...anyText('URL'),
    flag: 'url',
    env: 'KVIST_URL',
    default: undefined,
    help: 'the server; default: KVIST_HOST and KVIST_PORT, or http://127.0.0.1:7070',
  }),
  host: withoutFlag(serveOptions.host, 'where the server is, when there is no URL'),
  port: withoutFlag(serveOptions.port, 'the port of the server, when there is no URL'),
  tlsCert: withoutFlag(serveOptions.tlsCert, 'the server has TLS, when there is no URL'),
  token: serveOptions.token,
  tokenFile: serveOptions.tokenFile,
  ca: option<string | null>({
    ...anyText('FILE'),
    flag: 'ca',
    env: 'KVIST_CA',
    default: null,
    help: 'authorities that sign certificates of servers, in PEM; default: the well-known ones',
  }),
}

/** Returns an option of `serve` that can be set only through the environment. */
function withoutFlag<T>({ flag: _, ...rest }: Option<T>, help: string): Option<T> {
  return { ...rest, help }
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
  help: 'print no progress bar and no summary',
})

/** Returns a text option without checks: the client and the server check it. */
export const optionalText = (flag: string, unit: string, help: string) =>
  option<string | undefined>({ ...anyText(unit), flag, default: undefined, help })

/** Options that select members of a collection. */
export const selectionOptions = {
  where: optionalText('where', 'FILTER', 'only members whose value matches: \'@.country == "SE"\''),
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

type Connection = Values<typeof connectionOptions>

/** Without retries and time limits: a command fails at once, and the person at the terminal decides how long to wait. */
const interactive = { retries: 0, timeoutMs: 0 }

/** Returns a client. */
export function connect(given: Connection, limits = interactive): Kvist {
  const ca = authoritiesOf(given)
  return new Kvist(given.url ?? urlOf(given), {
    token: tokenOf(given) ?? undefined,
    ...(ca === null ? {} : { tls: { ca } }),
    ...limits,
  })
}

/** Returns the certificates of `--ca`, or of another flag; null for the well-known authorities. */
export function authoritiesOf({ ca: path }: Pick<Connection, 'ca'>, flag = 'ca'): string | null {
  if (path === null) return null
  const text = readFileSync(path, 'latin1')
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    refuse(`${path} holds no certificate in PEM: see --${flag}`)
  return text
}

/** The loopback addresses to connect to when a server listens on every network of this machine. */
const loopbackOf: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

function urlOf({ host, port, tlsCert }: Connection): string {
  if (port === 0) refuse('KVIST_PORT is 0, which is any free port for a server: say --url, or set KVIST_URL')
  const address = loopbackOf[host] ?? host
  return `${tlsCert === null ? 'http' : 'https'}://${address.includes(':') ? `[${address}]` : address}:${port}`
}
