import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

/** The PEM files of a server. */
export interface TlsFiles {
  /** The certificate, followed by the intermediate ones of its chain. */
  readonly certPath: string
  readonly keyPath: string
  /** The authorities whose client certificates are accepted; null: clients are not asked for one. */
  readonly clientCaPath: string | null
}

/** The certificate and key of a server as the next handshake uses them. */
export interface TlsIdentity {
  /** The handle of the runtime, shared by all connections. */
  readonly context: unknown
  readonly asksForCertificate: boolean
  /** The names of the certificate, for the log. */
  readonly names: string
  readonly validFromMs: number
  readonly validToMs: number
}

/**
 * AEAD ciphers with forward secrecy, for TLS 1.2. TLS 1.3 has no others.
 */
const ciphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** Reads the files. Throws an error of one line that names the file at fault. */
export function readIdentity({ certPath, keyPath, clientCaPath }: TlsFiles): TlsIdentity {
  const cert = readText(certPath, 'TLS certificate')
  const key = readText(keyPath, 'TLS key')
  const [leaf] = certificatesOf(cert, certPath)
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key))
    throw new Error(`${keyPath} holds no private key in PEM`)
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(key)) {
    throw new Error(`${keyPath} holds a private key with a passphrase, which kvist cannot ask for`)
  }
  const ca = clientCaPath === null ? null : readText(clientCaPath, 'authorities of client certificates')
  if (ca !== null) certificatesOf(ca, clientCaPath!)
  return {
    context: contextOf(cert, key, ca, `${certPath} and ${keyPath}`),
    asksForCertificate: ca !== null,
    names: leaf!.subjectAltName ?? leaf!.subject.split('\n').toReversed().join(','),
    validFromMs: Date.parse(leaf!.validFrom),
    validToMs: Date.parse(leaf!.validTo),
  }
}

function contextOf(cert: string, key: string, ca: string | null, files: string): unknown {
  try {
    const secure = createSecureContext({
      cert,
      key,
      minVersion: 'TLSv1.2',
      ciphers,
      ...(ca === null ? {} : { ca }),
    })
    return secure.context
  } catch (error) {
    const isMismatch = error instanceof Error && /KEY_VALUES_MISMATCH|KEY_TYPE_MISMATCH/i.test(error.message)
    const why = isMismatch
      ? 'the key is not that of the certificate'
      : error instanceof Error
        ? error.message
        : String(error)
    throw new Error(`${files} cannot be used for TLS: ${why}`, { cause: error })
  }
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error
    throw new Error(`the ${what} ${path} cannot be read: ${why}`, { cause: error })
  }
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Returns the certificates of a PEM file, of which there is at least one. */
function certificatesOf(pem: string, path: string): X509Certificate[] {
  const blocks = pem.match(certificateBlock) ?? []
  if (blocks.length === 0) throw new Error(`${path} holds no certificate in PEM`)
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw new Error(`certificate ${i + 1} of ${path} cannot be parsed`, { cause: error })
    }
  })
}
