import { refuse } from './options.ts'

interface CacheOptions {
  readonly cacheOf: readonly string[]
  readonly cacheTokenFile: string | null
  readonly cacheCa: string | null
  readonly token: string | null
}

/** The options of `serve` that go with `--cache-of`; the others are about a store, or are the origin's. */
const cacheFlags: ReadonlySet<string> = new Set([
  'access-log',
  'allowed-host',
  'cache-bytes',
  'cache-ca',
  'cache-of',
  'cache-stale',
  'cache-token-file',
  'cors-origin',
  'host',
  'http2',
  'idle-timeout',
  'log-level',
  'max-connections',
  'max-connections-per-address',
  'memory',
  'no-auth',
  'no-console',
  'port',
  'rate-limit',
  'stop-timeout',
  'tls-cert',
  'tls-key',
])

/**
 * Refuses flags that a cache node has no use for, and a token, which it would not check. Other environment variables are
 * ignored.
 */
export function refuseUncacheable(
  { cacheOf, cacheTokenFile, cacheCa, token }: CacheOptions,
  options: readonly { readonly flag?: string }[],
  args: readonly string[],
): void {
  if (cacheOf.length === 0) {
    if (cacheTokenFile !== null || cacheCa !== null)
      refuse('--cache-token-file and --cache-ca are for a cache: say --cache-of')
    return
  }
  for (const { flag } of options) {
    if (flag === undefined || cacheFlags.has(flag)) continue
    if (args.some((arg) => arg === `--${flag}` || arg.startsWith(`--${flag}=`)))
      refuse(`--cache-of keeps nothing of its own and passes requests on: leave out --${flag}`)
  }
  if (token !== null)
    refuse('--cache-of leaves the check of tokens to its origins: leave out KVIST_TOKEN and --token-file')
}
