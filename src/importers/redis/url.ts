import { SourceError } from '../entry.ts'
import type { RedisAddress } from './connection.ts'

export interface RedisSourceUrl extends RedisAddress {
  readonly isTls: boolean
  readonly user: string | null
  readonly database: number | null
}

const form =
  /^(?:redis|valkey)(s?):\/\/(?:([^@/]*)@)?(?:\[([0-9A-Fa-f:.]+)\]|([^:@[\]/?#]+))(?::(\d{1,5}))?(?:\/(\d*))?$/

/** Parses `redis://[user@]host[:port][/database]`, `rediss://` for TLS. Throws a `SourceError`. */
export function parseSourceUrl(text: string): RedisSourceUrl {
  const parts = form.exec(text)
  const port = Number(parts?.[5] ?? 6379)
  if (parts === null || port < 1 || port > 65_535) {
    throw new SourceError(`${JSON.stringify(text)} is not redis://host:port/database, or rediss:// for TLS`)
  }
  const [, secure, user, ipv6, host, , database = ''] = parts
  if (user?.includes(':')) {
    throw new SourceError('a password in the URL can be seen by everybody: see --source-password-file')
  }
  return {
    host: ipv6 ?? host!,
    port,
    isTls: secure === 's',
    user: user === undefined || user === '' ? null : decodeURIComponent(user),
    database: database === '' ? null : Number(database),
  }
}
