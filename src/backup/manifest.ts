import { type CollectionCount, type Manifest, RefusedBackup, type Tail } from './format.ts'

/** Parses what a backup says of itself. */

export function parseManifest(stored: Uint8Array): Manifest {
  const json = parseObject(stored)
  const tables = objectOf(json, 'tables')
  return {
    format: numberOf(json, 'format'),
    kvist: textOf(json, 'kvist'),
    store_id: textOf(json, 'store_id'),
    node_id: textOf(json, 'node_id'),
    revision: numberOf(json, 'revision'),
    taken_at: textOf(json, 'taken_at'),
    tables: {
      format: numberOf(tables, 'format'),
      page_bytes: numberOf(tables, 'page_bytes'),
      pages: numberOf(tables, 'pages'),
    },
    members: numberOf(json, 'members'),
    tombstones: numberOf(json, 'tombstones'),
    bytes: numberOf(json, 'bytes'),
    collection_count: numberOf(json, 'collection_count'),
    collections: collectionsOf(json.collections),
  }
}

export function parseTail(stored: Uint8Array): Tail {
  const json = parseObject(stored)
  return { parts: numberOf(json, 'parts'), bytes: numberOf(json, 'bytes'), digest: textOf(json, 'digest') }
}

type Json = Readonly<Record<string, unknown>>

function parseObject(stored: Uint8Array): Json {
  try {
    const found: unknown = JSON.parse(Buffer.from(stored).toString())
    if (isObject(found)) return found
  } catch {
    // The error below says it.
  }
  throw new RefusedBackup('what it says of itself is not JSON')
}

function isObject(given: unknown): given is Json {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
}

function objectOf(json: Json, name: string): Json {
  const found = json[name]
  if (isObject(found)) return found
  throw missing(name)
}

function numberOf(json: Json, name: string): number {
  const found = json[name]
  if (typeof found === 'number' && Number.isSafeInteger(found) && found >= 0) return found
  throw missing(name)
}

function textOf(json: Json, name: string): string {
  const found = json[name]
  if (typeof found === 'string') return found
  throw missing(name)
}

function collectionsOf(given: unknown): CollectionCount[] {
  if (!Array.isArray(given)) throw missing('collections')
  return given.map((one: unknown) => {
    if (!isObject(one)) throw missing('collections')
    return { name: textOf(one, 'name'), members: numberOf(one, 'members'), bytes: numberOf(one, 'bytes') }
  })
}

function missing(name: string): RefusedBackup {
  return new RefusedBackup(`its manifest lacks "${name}"`)
}
