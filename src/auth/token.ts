import { createHash, timingSafeEqual } from 'node:crypto'

/** Says whether an Authorization header carries the token (RFC 6750), in time that tells nothing of it. */
export function bearerCheck(token: string): (header: string | null) => boolean {
  const wanted = digest(token)
  return (header) => {
    const given = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
    return given !== undefined && timingSafeEqual(digest(given), wanted)
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
