/** By the codes of Node and of Bun's fetch. */
const faults: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'no server listens there',
  ConnectionRefused: 'no server listens there',
  ENOTFOUND: 'there is no host of this name',
  EAI_AGAIN: 'there is no host of this name',
  ECONNRESET: 'the connection broke off',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not of an authority that is trusted: see --source-ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not of an authority that is trusted: see --source-ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate is not of an authority that is trusted: see --source-ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not of an authority that is trusted: see --source-ca',
}

/** Returns why a server cannot be read, on one line. */
export function networkFault(error: unknown): string {
  const { code, message = String(error) }: { code?: unknown; message?: unknown } = Object(error)
  return faults[String(code)] ?? String(message).split('\n', 1)[0]!
}
