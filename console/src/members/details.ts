import { collectionPath, memberPath } from '../../../sdk/names.ts'
import { session } from '../api/session.svelte.ts'
import type { MemberRow, Row } from './row.ts'

/** Reads the beginnings of values one by one, with their metadata: for rows of collections whose values are too large for a list. */

const beginningBytes = 512
const readable = /^(text\/|application\/(json|.*\+json)\b)/

export class Details {
  readonly #collection: string
  readonly #reading = new Set<string>()

  constructor(collection: string) {
    this.#collection = collection
  }

  /** Reads the rows that were listed without their values, or all of them again. One that cannot be read stays as it is. */
  async read(
    rows: readonly Row[],
    isAgain: boolean,
    signal: AbortSignal,
    onRow: (row: MemberRow) => void,
  ): Promise<void> {
    const needed = rows.filter((row) => row.kind === 'member' && (isAgain || row.preview === null))
    const keys = needed.map(({ key }) => key).filter((key) => !this.#reading.has(key))
    for (const key of keys) this.#reading.add(key)
    await Promise.all(
      keys.map(async (key) => {
        const row = await readDetails(this.#collection, key, signal).catch(() => null)
        this.#reading.delete(key)
        if (row !== null) onRow(row)
      }),
    )
  }
}

/** Returns the row of a member; null if it is not there. */
async function readDetails(collection: string, key: string, signal: AbortSignal): Promise<MemberRow | null> {
  const { authorization } = session
  const range = { range: `bytes=0-${beginningBytes - 1}` }
  const headers = authorization === null ? range : { ...range, authorization }
  const response = await fetch(memberPath(collectionPath(collection), key), { headers, signal })
  // An empty value has no such range.
  const isEmpty = response.status === 416
  if (!response.ok && !isEmpty) return null
  const contentType = response.headers.get('content-type') ?? ''
  const bytes = isEmpty ? new ArrayBuffer(0) : await response.arrayBuffer()
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
  const expires = response.headers.get('kvist-expires-at')
  return {
    kind: 'member',
    key,
    // A character that is cut at the end is left out.
    preview: readable.test(contentType) ? new TextDecoder().decode(bytes, { stream: true }) : '',
    contentType,
    bytes: total === undefined ? bytes.byteLength : Number(total),
    revision: Number(response.headers.get('etag')?.replaceAll('"', '') ?? 0),
    updatedAtMs: Date.parse(response.headers.get('last-modified') ?? '') || 0,
    expiresAtMs: expires === null ? null : Date.parse(expires),
  }
}
