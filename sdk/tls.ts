import { optional, type Rules, text } from './checks.ts'
import { KvistInputError } from './errors.ts'
import type { Fetch } from './request.ts'

/** What a client trusts and presents over https, each as the text of PEM files. Deno and Bun take them. */
export interface TlsOptions {
  /** The authorities that may have signed the certificate of the server. */
  readonly ca?: string | undefined
  /** The certificate of the client, with its chain. */
  readonly cert?: string | undefined
  /** The private key of `cert`. */
  readonly key?: string | undefined
}

export const tlsRules: Rules<TlsOptions> = { ca: optional(text), cert: optional(text), key: optional(text) }

interface Runtime {
  readonly Bun?: unknown
  readonly Deno?: { createHttpClient(options: object): unknown }
}

/** Returns a `fetch` with these certificates. Throws a KvistInputError where the runtime has none that takes them. */
export function fetchWithTls({ ca, cert, key }: TlsOptions): Fetch {
  if ((cert === undefined) !== (key === undefined))
    throw new KvistInputError('tls.cert and tls.key are a pair: give both, or neither')
  const { Bun, Deno }: Runtime = globalThis as Runtime
  const identity = cert === undefined ? {} : { cert, key }
  if (Bun !== undefined) {
    const tls = { ...(ca === undefined ? {} : { ca }), ...identity }
    return (url, init) => fetch(url, { ...init, tls } as RequestInit)
  }
  if (Deno !== undefined) {
    const client = Deno.createHttpClient({ ...(ca === undefined ? {} : { caCerts: [ca] }), ...identity })
    return (url, init) => fetch(url, { ...init, client } as RequestInit)
  }
  throw new KvistInputError(
    'the fetch of this runtime takes no certificates: see "Servers with TLS" in the README of the client',
  )
}
