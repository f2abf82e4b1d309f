import { KvistError, KvistInputError, KvistUnreachableError } from '../../sdk/client.ts'
import { UsageError } from '../options.ts'

/** Returns the line to print for an error, which may be empty, and the exit code. */
export function explain(error: unknown): { line: string; exitCode: number } {
  if (error instanceof UsageError || error instanceof KvistInputError) return failed(error.message, 2)
  if (error instanceof KvistUnreachableError)
    return failed(`cannot reach ${error.url}: ${whyUnreachable(error.cause)}`)
  if (error instanceof KvistError) return failed(`${error.detail}${advice(error)}`)
  if (hasCode(error, 'EPIPE')) return { line: '', exitCode: 0 } // the reader of the output closed it, as `head` does
  const fileFault = whyNotOpened(error)
  if (fileFault !== null) return failed(fileFault)
  if (error instanceof TypeError || error instanceof ReferenceError)
    return { line: error.stack ?? String(error), exitCode: 1 } // a bug
  return failed(error instanceof Error ? error.message : String(error))
}

/** Prints a message to standard error. */
export function complain(line: string): void {
  process.stderr.write(`kvist: ${line}\n`)
}

function failed(message: string, exitCode = 1) {
  return { line: message.split('\n', 1)[0] ?? '', exitCode }
}

/** Returns advice to append to the server's message; empty if that needs none. */
function advice({ code, status }: KvistError): string {
  if (code === 'unauthorized') return ': see KVIST_TOKEN and --token-file'
  if (code === '' && status !== null && status < 500) return ': see --url and KVIST_URL'
  return ''
}

function whyUnreachable(cause: unknown): string {
  if (hasCode(cause, 'ECONNREFUSED', 'ConnectionRefused')) return 'is kvist serve running?'
  if (hasCode(cause, 'ECONNRESET')) return 'the connection broke off'
  if (hasCode(cause, 'ENOTFOUND', 'EAI_AGAIN')) return 'there is no host of this name'
  return whyNotTrusted(cause) ?? (cause instanceof Error ? failed(cause.message).line : 'no response')
}

/** Returns the reason that TLS failed; null for other errors. */
function whyNotTrusted(error: unknown): string | null {
  const { code }: { code?: unknown } = Object(error)
  if (typeof code !== 'string') return null
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is for another name'
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired'
  if (/SELF_SIGNED_CERT|UNABLE_TO_(GET_ISSUER|VERIFY)|CERT_UNTRUSTED/.test(code))
    return 'its certificate is not of an authority that is trusted: see --ca and KVIST_CA'
  return code === 'EPROTO' ? 'it does not speak TLS there: its URL may begin with http://' : null
}

const fileFaults: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder, not a file',
  EACCES: 'it may not be opened by this user',
  EPERM: 'it may not be changed by this user',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
}

/** Returns the message for an error of the file system; null for other errors. A failed read does not name its file. */
function whyNotOpened(error: unknown): string | null {
  const { code, path = 'the file' }: { code?: unknown; path?: unknown } = Object(error)
  const fault = fileFaults[String(code)]
  return fault === undefined ? null : `${path}: ${fault}`
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
