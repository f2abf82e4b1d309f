import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { outputOf } from './spawn.ts'

/** Certificates of a test, made anew with openssl, so that none can expire: each is valid for two days. */

/** The paths of a certificate and of its key. */
export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

export interface Authority {
  /** The path of its certificate. */
  readonly ca: string
  /** Makes a certificate for `localhost` and 127.0.0.1, and for this subject as openssl writes it: `/O=Acme/CN=app`. */
  issue(name: string, subject?: string): Promise<CertificateFiles>
}

export interface CertificateFolder extends Disposable {
  readonly path: string
  authority(name: string): Promise<Authority>
}

const elliptic = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-utf8']
const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'

export function certificateFolder(): CertificateFolder {
  const path = mkdtempSync(join(tmpdir(), 'kvist-certificates-'))
  const file = (name: string) => join(path, name)
  return {
    path,
    async authority(name) {
      const ca = file(`${name}.pem`)
      const caKey = file(`${name}.key`)
      const subject = ['-subj', `/CN=${name}`, '-days', '2']
      await outputOf(['openssl', 'req', '-x509', ...elliptic, ...subject, '-keyout', caKey, '-out', ca])
      return {
        ca,
        async issue(issued, subject = `/CN=${issued}`) {
          const [cert, key, request] = [file(`${issued}.pem`), file(`${issued}.key`), file(`${issued}.csr`)]
          const asked = ['-subj', subject, '-addext', names, '-keyout', key, '-out', request]
          await outputOf(['openssl', 'req', ...elliptic, ...asked])
          const by = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy']
          await outputOf(['openssl', 'x509', '-req', '-in', request, ...by, '-out', cert])
          return { cert, key }
        },
      }
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}
