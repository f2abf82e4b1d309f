import { shellQuoted } from '../ui/shell.ts'
import type { RequestDraft } from './operations.ts'

/** Returns the line of a shell that sends a request, as POSIX shells read it. */
export function curlOf(
  { method, target, headers, body }: RequestDraft,
  origin: string,
  token: string | null,
): string {
  const parts = ['curl']
  if (method === 'HEAD') parts.push('-I')
  else if (method !== 'GET') parts.push('-X', method)
  parts.push(shellQuoted(`${origin}${target}`))
  if (token !== null) parts.push('-H', '"Authorization: Bearer $KVIST_TOKEN"')
  for (const [name, value] of headers) parts.push('-H', shellQuoted(`${name}: ${value}`))
  if (body !== '') parts.push('--data-raw', shellQuoted(body))
  return parts.join(' ')
}
