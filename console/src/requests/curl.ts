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
  parts.push(quoted(`${origin}${target}`))
  if (token !== null) parts.push('-H', '"Authorization: Bearer $KVIST_TOKEN"')
  for (const [name, value] of headers) parts.push('-H', quoted(`${name}: ${value}`))
  if (body !== '') parts.push('--data-raw', quoted(body))
  return parts.join(' ')
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
