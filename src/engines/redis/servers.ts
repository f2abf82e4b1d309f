/** Where a Redis or Valkey server listens. */
export interface ServerAddress {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string
  readonly port: number
}

/** Returns the address as people write it, IPv6 in brackets. */
export function addressText({ host, port }: ServerAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The servers of an engine's URL. */
export interface RedisUrl {
  readonly servers: readonly ServerAddress[]
  readonly isTls: boolean
  readonly user: string | null
}

const defaultPort = 6379

/**
 * Parses `redis://[user@]host[:port][,host[:port]…]`, `rediss://` for TLS, `valkey://` and `valkeys://` for the same.
 * Throws an Error with a message of one line for anything else, a password and a database number included.
 */
export function parseRedisUrl(text: string): RedisUrl {
  const parts = /^(redis|valkey)(s?):\/\/(?:([^@/]*)@)?([^@/?#]*)\/?$/.exec(text)
  if (parts === null) {
    throw new Error('is not redis://host:port,host:port (or rediss:// for TLS, without a path)')
  }
  const [, , secure, user, hosts] = parts
  if (user?.includes(':')) throw new Error('must not contain a password: give it by file')
  if (user === '') throw new Error('has an empty user name before @')
  return {
    servers: hosts!.split(',').map(parseAddress),
    isTls: secure === 's',
    user: user === undefined ? null : decodeUser(user),
  }
}

function decodeUser(user: string): string {
  try {
    return decodeURIComponent(user)
  } catch {
    throw new Error('has a user name that is not percent-encoded UTF-8')
  }
}

/** Parses `host`, `host:port` or `[IPv6]:port`. Throws an Error with a message of one line. */
function parseAddress(text: string): ServerAddress {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text)
  const port = parts?.[3] === undefined ? defaultPort : Number(parts[3])
  if (parts === null || port < 1 || port > 65_535) {
    throw new Error(`has ${JSON.stringify(text)} where host:port is expected`)
  }
  return { host: parts[1] ?? parts[2]!, port }
}
