import type { X509Certificate } from 'node:crypto'

/**
 * Returns the subject of a certificate as RFC 2253 writes it, the last part of the name first: `CN=app,O=Acme\, Inc`. It
 * is what `openssl x509 -noout -subject -nameopt RFC2253` prints.
 */
export function subjectOf({ subject }: Pick<X509Certificate, 'subject'>): string {
  // Each line is a part of the name, in the order of the certificate, escaped as RFC 2253 says.
  return subject.split('\n').toReversed().join(',')
}
