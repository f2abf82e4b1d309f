import { toggle } from './option-kinds.ts'
import { filePath } from './option-values.ts'
import { option, refuse, type Values } from './options.ts'

/** The options of TLS and HTTP/2. */
export const tlsOptions = {
  memcachedNoTls: option({
    ...toggle(),
    flag: 'memcached-no-tls',
    default: false,
    help: 'let memcached clients connect without TLS, where --tls-cert is given',
  }),
  tlsCert: option<string | null>({
    ...filePath,
    flag: 'tls-cert',
    env: 'KVIST_TLS_CERT',
    default: null,
    help: 'TLS certificate with its chain, in PEM; read again when it changes',
  }),
  tlsKey: option<string | null>({
    ...filePath,
    flag: 'tls-key',
    env: 'KVIST_TLS_KEY',
    default: null,
    help: 'private key of --tls-cert, in PEM',
  }),
  tlsClientCa: option<string | null>({
    ...filePath,
    flag: 'tls-client-ca',
    env: 'KVIST_TLS_CLIENT_CA',
    default: null,
    help: 'authorities of client certificates, in PEM: clients may then present one',
  }),
  http2: option({
    ...toggle(),
    flag: 'http2',
    default: false,
    help: 'serve HTTP/2, too, to clients with TLS: for browsers with more than six streams',
  }),
} as const

type TlsConfig = Values<typeof tlsOptions>

/** Refuses TLS options that are missing the others they need. Throws UsageError. */
export function refuseHalfTls({ tlsCert, tlsKey, tlsClientCa, http2, memcachedNoTls }: TlsConfig): void {
  if (tlsCert !== null && tlsKey === null) refuse('--tls-cert needs its private key: --tls-key')
  if (tlsCert === null && tlsKey !== null) refuse('--tls-key needs its certificate: --tls-cert')
  if (tlsCert !== null) return
  if (tlsClientCa !== null) refuse('--tls-client-ca is for a server with TLS: say --tls-cert and --tls-key')
  if (http2) refuse('--http2 is for a server with TLS: say --tls-cert and --tls-key')
  if (memcachedNoTls) refuse('--memcached-no-tls is for a server with TLS: say --tls-cert and --tls-key')
}
