import { parametersOf } from '../path.ts'
import { responseOf, streamed } from '../response.ts'
import type { Route } from '../route.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse, StreamedBody } from '../wire/response.ts'
import * as docs from './openapi-backup.ts'
import { v1Tag } from './openapi-parts.ts'

/** A backup that is being taken, for a client. */
export interface BackupStream {
  /** The name that its file should have. */
  readonly name: string
  readonly revision: number
  /** Resolves with the next chunk; null at the end. */
  next(): Promise<Uint8Array | null>
  stop(): void
}

/** `take` begins a backup. It throws `busy` while one is being taken. */
export function backupRoutes(take: () => Promise<BackupStream>): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/_backup',
      access: 'admin all',
      summary: 'A copy of the whole store as it is now',
      tag: v1Tag,
      docs: docs.getBackup,
      handle: (request) => getBackup(take, request),
    },
  ]
}

async function getBackup(take: () => Promise<BackupStream>, request: HttpRequest): Promise<HttpResponse> {
  parametersOf(request, [])
  const backup = await take()
  const fields = {
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename="${backup.name}"`,
    'Cache-Control': 'no-store',
    'Kvist-Revision': `${backup.revision}`,
  }
  return responseOf(200, fields, bodyOf(backup))
}

function bodyOf({ next, stop }: BackupStream): StreamedBody {
  let pieces: Uint8Array[] = []
  let isCanceled = false
  async function nextPiece(): Promise<Uint8Array | null> {
    if (pieces.length === 0) {
      try {
        const chunk = await next()
        if (chunk === null) stop()
        else pieces = piecesOf(chunk)
      } catch (error) {
        stop()
        if (!isCanceled) throw error
      }
    }
    return pieces.shift() ?? null
  }
  return streamed(nextPiece, () => {
    isCanceled = true
    stop()
  })
}

/** So that a slow client holds little memory beside the chunk. */
const pieceBytes = 256 * 1024

function piecesOf(chunk: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < chunk.length; at += pieceBytes) pieces.push(chunk.subarray(at, at + pieceBytes))
  return pieces
}
