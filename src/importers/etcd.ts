import { keyText, plainValue, rejectedBinaryKey, type SourceEntry, SourceError } from './entry.ts'
import { type ExportedFields, objectIn } from './exported-json.ts'
import type { Batch, Importer, ImporterOptions, Source } from './importer.ts'
import { networkFault } from './network-faults.ts'

/**
 * An etcd server of version 3, by its JSON gateway. All pages are of one revision, that of the start; the cursor is the last
 * key, so a run that resumes goes on in what etcd holds then.
 */
export const etcd: Importer = {
  operand: 'URL',
  collection: 'keys',
  options: ['json', 'encodeKeys', 'login'],
  async open(location, options) {
    const gateway = await openGateway(location, options)
    const { header, count } = await gateway.range({ key: firstKey, range_end: firstKey, count_only: true })
    const { cluster_id, revision } = objectIn(header, location)
    const source: Source = {
      identity: String(cluster_id),
      total: Number(count ?? 0),
      read: (cursor) => readPages(gateway, String(revision), cursor, options),
    }
    return source
  },
}

/** The zero byte, in base64: the first key; as the end of a range it means that there is none. */
const firstKey = 'AA=='
const timeoutMs = 60_000

interface Gateway {
  range(request: object): Promise<ExportedFields>
  /** Returns the seconds that a lease has left; null if it has ended. */
  leaseSeconds(id: string): Promise<number | null>
}

/** Versions before 3.4 have the gateway elsewhere. */
const gatewayPaths = ['/v3', '/v3beta']

async function openGateway(location: string, options: ImporterOptions): Promise<Gateway> {
  const url = parseUrl(location)
  const user = decodeURIComponent(url.username)
  url.username = ''
  const base = url.href.replace(/\/+$/, '')
  let token: string | null = null

  async function post(
    path: string,
    request: object,
  ): Promise<{ readonly status: number; readonly body: ExportedFields }> {
    const response = await send(`${base}${path}`, request, token, options.ca, base)
    const body = objectIn(await response.json().catch(() => null), base)
    return { status: response.status, body }
  }

  async function call(path: string, request: object): Promise<ExportedFields> {
    const { status, body } = await post(path, request)
    if (status === 200) return body
    const advice = status === 401 || status === 400 ? loginAdvice(String(body.error ?? body.message)) : ''
    throw new SourceError(`${base} refused: ${body.error ?? body.message ?? status}${advice}`)
  }

  const root = await findRoot(base, options.ca)
  if (user !== '' || options.password !== null) {
    const login = { name: user || 'root', password: options.password ?? '' }
    token = String((await call(`${root}/auth/authenticate`, login)).token)
  }
  return {
    range: (request) => call(`${root}/kv/range`, request),
    async leaseSeconds(id) {
      const { TTL: seconds } = await call(`${root}/lease/timetolive`, { ID: id })
      return Number(seconds) > 0 ? Number(seconds) : null
    },
  }
}

/** Finds where the gateway is: a path that is not served gives 404. */
async function findRoot(base: string, ca: string | null): Promise<string> {
  for (const root of gatewayPaths) {
    const { status } = await send(`${base}${root}/kv/range`, { key: firstKey, limit: 1 }, null, ca, base)
    if (status !== 404 && status !== 405) return root
  }
  throw new SourceError(`${base} is no etcd with the JSON gateway of version 3`)
}

async function send(url: string, request: object, token: string | null, ca: string | null, base: string) {
  try {
    return await fetch(url, {
      method: 'POST',
      body: JSON.stringify(request),
      headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: token }) },
      signal: AbortSignal.timeout(timeoutMs),
      ...(ca === null ? {} : { tls: { ca } }),
    })
  } catch (error) {
    throw new SourceError(`cannot reach ${base}: ${networkFault(error)}`)
  }
}

function parseUrl(location: string): URL {
  const url = URL.canParse(location) ? new URL(location) : null
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new SourceError(`${JSON.stringify(location)} is not http://host:port`)
  if (url.password !== '')
    throw new SourceError('a password in the URL can be seen by everybody: see --source-password-file')
  return url
}

function loginAdvice(message: string): string {
  return /auth|user|token/i.test(message)
    ? ': the user is in the URL; see --source-password-file and KVIST_SOURCE_PASSWORD'
    : ''
}

/** Bytes of a page: a response is in memory as a whole. */
const smallPageBytes = 1024 * 1024
const largePageBytes = 8 * 1024 * 1024
const maxPageKeys = 5000

async function* readPages(
  gateway: Gateway,
  revision: string,
  cursor: string | null,
  options: ImporterOptions,
): AsyncGenerator<Batch> {
  let key = cursor === null ? firstKey : keyAfter(cursor)
  let limit = 100
  let position = 0
  for (;;) {
    const page = await gateway.range({ key, range_end: firstKey, limit, revision })
    const found = Array.isArray(page.kvs) ? page.kvs.map((pair) => objectIn(pair, 'etcd')) : []
    if (found.length === 0) return
    position += found.length
    const expiries = await leaseExpiries(found, gateway, options)
    const last = String(found.at(-1)!.key)
    yield { entries: found.map((pair) => entryOf(pair, expiries, options)), cursor: last, position }
    if (page.more !== true) return
    key = keyAfter(last)
    const bytes = found.reduce((sum, { value }) => sum + String(value ?? '').length, 0)
    if (bytes > largePageBytes) limit = Math.max(1, limit >> 2)
    else if (bytes < smallPageBytes) limit = Math.min(maxPageKeys, 2 * limit)
  }
}

function keyAfter(base64: string): string {
  return Buffer.concat([Buffer.from(base64, 'base64'), Buffer.from([0])]).toString('base64')
}

/** Returns when the leases of these pairs end; 0 for those that have. */
async function leaseExpiries(
  pairs: readonly ExportedFields[],
  gateway: Gateway,
  { now }: ImporterOptions,
): Promise<ReadonlyMap<string, number>> {
  const ids = new Set(
    pairs.flatMap(({ lease }) => (lease === undefined || lease === '0' ? [] : [String(lease)])),
  )
  const all = await Promise.all(
    [...ids].map(async (id) => {
      const seconds = await gateway.leaseSeconds(id)
      return [id, seconds === null ? 0 : now() + seconds * 1000] as const
    }),
  )
  return new Map(all)
}

function entryOf(
  { key, value, lease }: ExportedFields,
  expiries: ReadonlyMap<string, number>,
  { encodeKeys, json }: ImporterOptions,
): SourceEntry {
  const keyBytes = Buffer.from(String(key), 'base64')
  const text = keyText(keyBytes, encodeKeys)
  if (text === null) return rejectedBinaryKey(keyBytes)
  const bytes = Buffer.from(String(value ?? ''), 'base64') // the gateway leaves out what is empty
  return { key: text, value: plainValue(bytes, json), expiresAtMs: expiries.get(String(lease)) ?? null }
}
