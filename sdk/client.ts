/**
 * The TypeScript client of kvist's HTTP API. It needs nothing but `fetch`, so it runs in Bun, Node 20, Deno and browsers.
 *
 *     const users = new Kvist('http://127.0.0.1:7070').collection('users')
 *     for await (const user of users.list({ prefix: 'a', include: 'values' })) console.log(user.value)
 *
 * Names in answers are the wire's own (snake_case). A call that fails throws KvistHttpError when the server refused
 * it, and KvistUnreachableError when there was no answer or only half of one.
 */

export interface KvistOptions {
  /** Sent as a bearer token. */
  readonly token?: string | undefined
}

export interface CollectionInfo {
  readonly name: string
  readonly members: number
  /** Of keys and values. */
  readonly bytes: number
}

/** A member without its value: the answer to a write. */
export interface Stored {
  readonly key: string
  /** Grows with every change in the store; this member's is that of its last change. */
  readonly revision: number
  /** RFC 3339, as all times here. */
  readonly created_at: string
  readonly updated_at: string
  readonly expires_at: string | null
  readonly content_type: string
}

/** A member of a list: the key alone, with its value, or with everything, as `include` asked. */
export interface Listed<T> extends Partial<Stored> {
  readonly key: string
  readonly value?: T
  /** In place of `value` for bytes that are not JSON. */
  readonly value_base64?: string
}

export interface Selection {
  readonly prefix?: string | undefined
  /** Wildcards on the key: `*` is any run of characters, `?` is one. */
  readonly filter?: string | undefined
  /** The same wildcards, on any top-level value of the member's JSON. */
  readonly match?: string | undefined
  /** The first key, inclusive. */
  readonly from?: string | undefined
  /** The first key past the end. */
  readonly to?: string | undefined
  readonly order?: 'asc' | 'desc' | undefined
  readonly include?: 'keys' | 'values' | 'all' | undefined
  /** Of members in all; without it every one. */
  readonly limit?: number | undefined
}

export interface PutOptions {
  /** A number of seconds, or a text with a unit: `90s`, `15m`, `12h`, `7d`. */
  readonly expireIn?: number | string | undefined
  /** RFC 3339. */
  readonly expireAt?: string | undefined
  /** Store only over this revision; otherwise the call fails with status 412. */
  readonly ifRevision?: number | undefined
  /** Store only where there is nothing; otherwise the call fails with status 412. */
  readonly create?: boolean | undefined
}

/** A value that was not parsed. */
export interface RawValue {
  readonly contentType: string
  readonly bytes: AsyncIterable<Uint8Array>
}

export interface ImportSummary {
  readonly stored: number
  /** The bad lines, counted from 1 within what was sent; the first 1,000 of them. */
  readonly failed: readonly { readonly line: number; readonly code: string; readonly detail: string }[]
  /** How many more there were. */
  readonly failed_more?: number
}

/** The server refused: a problem document (RFC 9457). */
export class KvistHttpError extends Error {
  readonly status: number
  /** Stable, for programs: `not_found`, `precondition_failed`, … Empty when the answer was not kvist's. */
  readonly code: string
  /** For people. */
  readonly detail: string
  /** From `Retry-After`: the pause that the server asks for. */
  readonly retryAfterSeconds: number | null

  constructor(status: number, code: string, detail: string, retryAfterSeconds: number | null) {
    super(detail)
    this.name = 'KvistHttpError'
    this.status = status
    this.code = code
    this.detail = detail
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** What was asked for cannot be sent: a name that no URL can say, or something that is no URL. */
export class KvistInputError extends Error {
  override readonly name = 'KvistInputError'
}

/** There was no answer, or it broke off. */
export class KvistUnreachableError extends Error {
  readonly url: string

  constructor(url: string, cause: unknown) {
    super(`cannot reach ${url}`, { cause })
    this.name = 'KvistUnreachableError'
    this.url = url
  }
}

const pageMembers = 1000
const jsonLines = 'application/x-ndjson'

export class Kvist {
  /** Without a slash at its end. */
  readonly url: string
  readonly #headers: Readonly<Record<string, string>>

  /** Throws KvistInputError when the URL is not one of http or https. */
  constructor(url: string, options: KvistOptions = {}) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new KvistInputError(`not a URL of http or https: ${JSON.stringify(url)}`)
    }
    this.url = url.replace(/\/+$/, '')
    this.#headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }
  }

  /** Nothing is sent: a collection comes into being with its first member. */
  collection<T = unknown>(name: string): Collection<T> {
    if (name.startsWith('_')) throw new KvistInputError('a name that begins with _ is not a collection')
    return new Collection(this, `/v1/${segment(name)}`)
  }

  async collections(): Promise<CollectionInfo[]> {
    const { collections } = await this.json<{ collections: CollectionInfo[] }>(
      await this.request('GET', '/v1'),
    )
    return collections
  }

  /** Sends a request with the token; throws unless the answer is a success. */
  async request(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: Uint8Array<ArrayBuffer> | string,
  ): Promise<Response> {
    const init = {
      method,
      headers: { ...this.#headers, ...headers },
      ...(body === undefined ? {} : { body }),
    }
    const response = await fetch(this.url + path, init).catch((cause) => {
      throw new KvistUnreachableError(this.url, cause)
    })
    if (response.ok) return response
    throw await refusal(response)
  }

  /** The body of an answer as it comes. Who stops reading ends the request. */
  async *bytes(response: Response): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader() // not every browser can iterate over a stream
    try {
      for (let part = await reader?.read(); part?.done === false; part = await reader?.read())
        yield part.value
    } catch (cause) {
      throw new KvistUnreachableError(this.url, cause)
    } finally {
      await reader?.cancel().catch(() => {})
    }
  }

  /** The body of an answer. Its shape is not looked at: the API promises it. */
  async json<Shape>(response: Response): Promise<Shape> {
    try {
      return (await response.json()) as Shape
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw new KvistUnreachableError(this.url, cause)
      throw new KvistHttpError(response.status, '', `${this.url} does not answer as kvist does`, null)
    }
  }
}

export class Collection<T> {
  readonly #kvist: Kvist
  readonly #path: string

  /** Made by `Kvist.collection`. */
  constructor(kvist: Kvist, path: string) {
    this.#kvist = kvist
    this.#path = path
  }

  /** The value as it was stored, byte for byte, as it comes; null where there is no such member. */
  async getRaw(key: string): Promise<RawValue | null> {
    const response = await this.#kvist.request('GET', this.#member(key)).catch(nullWhenNotFound)
    if (response === null) return null
    return { contentType: response.headers.get('content-type') ?? '', bytes: this.#kvist.bytes(response) }
  }

  /** Stores these very bytes under this content type; text as UTF-8. */
  async putRaw(
    key: string,
    value: Uint8Array<ArrayBuffer> | string,
    contentType: string,
    options: PutOptions = {},
  ): Promise<Stored> {
    const path = this.#member(key) + query({ expire_in: options.expireIn, expire_at: options.expireAt })
    const headers: Record<string, string> = { 'content-type': contentType }
    if (options.ifRevision !== undefined) headers['if-match'] = `"${options.ifRevision}"`
    if (options.create) headers['if-none-match'] = '*'
    return this.#kvist.json(await this.#kvist.request('PUT', path, headers, value))
  }

  /** False where there was nothing. */
  async delete(key: string): Promise<boolean> {
    return (await this.#kvist.request('DELETE', this.#member(key)).catch(nullWhenNotFound)) !== null
  }

  /** Page after page, as far as it is iterated; what changes meanwhile may be seen or not. */
  async *list(selection: Selection = {}): AsyncGenerator<Listed<T>> {
    let left = selection.limit ?? Number.POSITIVE_INFINITY
    let cursor: string | null | undefined
    while (left > 0 && cursor !== null) {
      const parameters = { ...selection, limit: Math.min(left, pageMembers), cursor }
      const response = await this.#kvist.request('GET', this.#path + query(parameters))
      const page = await this.#kvist.json<{ members: Listed<T>[]; next: string | null }>(response)
      yield* page.members
      left -= page.members.length
      cursor = page.next
    }
  }

  /** The members as one stream of NDJSON: each line is a Listed, its value the text that was stored. */
  async lines(selection: Selection = {}): Promise<AsyncIterable<Uint8Array>> {
    const path = this.#path + query({ ...selection })
    return this.#kvist.bytes(await this.#kvist.request('GET', path, { accept: jsonLines }))
  }

  /** Stores NDJSON lines as `lines` gives them. Good lines are stored whatever became of the bad ones. */
  async import(lines: Uint8Array<ArrayBuffer> | string): Promise<ImportSummary> {
    const headers = { 'content-type': jsonLines }
    return this.#kvist.json(await this.#kvist.request('POST', this.#path, headers, lines))
  }

  #member(key: string): string {
    return `${this.#path}/${segment(key)}`
  }
}

/** A name as one segment of a path. URLs cannot say the empty one and the two that mean folders: they would name something else. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..')
    throw new KvistInputError(`a URL cannot hold the name ${JSON.stringify(name)}`)
  return encodeURIComponent(name)
}

function query(parameters: Readonly<Record<string, string | number | null | undefined>>): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value != null) given.set(name, `${value}`)
  return given.size === 0 ? '' : `?${given}`
}

async function refusal(response: Response): Promise<KvistHttpError> {
  const body: unknown = await response.json().catch(() => null)
  const problem = typeof body === 'object' && body !== null ? body : {}
  const code = 'code' in problem && typeof problem.code === 'string' ? problem.code : ''
  const detail = 'detail' in problem && typeof problem.detail === 'string' ? problem.detail : ''
  const retryAfter = /^[0-9]{1,6}$/.exec(response.headers.get('retry-after') ?? '')
  return new KvistHttpError(
    response.status,
    code,
    detail || `the server answered ${response.status} ${response.statusText}`.trimEnd(),
    retryAfter === null ? null : Number(retryAfter[0]),
  )
}

/** For `catch`: that there is no such member is an answer, too. */
function nullWhenNotFound(error: unknown): null {
  if (error instanceof KvistHttpError && error.status === 404 && error.code === 'not_found') return null
  throw error
}
