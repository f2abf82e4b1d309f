import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Delete, Durability, Put } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { type Follower, follower } from '../core/follower.ts'
import { type Grant, type GrantJson, grantJson, parseGrants } from '../core/grants.ts'
import { maxSubjectBytes, maxTimeMs, maxTokenNameBytes, maxTokens } from '../core/limits.ts'
import { jsonContentType, type Member } from '../core/member.ts'
import { permitsOf } from '../core/permits.ts'
import { parseRate, type Rate, showRate } from '../core/rate.ts'
import { RateLimit } from '../core/rate-limit.ts'
import type { Principal } from './principal.ts'

/**
 * Tokens besides the server's own. They are members of a collection of kvist's own: as durable as others, in the same
 * log and the same backups, and the same on all servers of a store. Kept is a hash: a token is 256 random bits, so one
 * round of SHA-256 reveals nothing of it. A token reads `kvist_<id>_<secret>`, a form that scanners for leaked secrets
 * can find. See docs/design/access.md.
 */

export const tokensCollection = '_tokens'
const usesCollection = '_token_uses'

export interface Token {
  readonly id: string
  readonly name: string
  readonly grants: readonly Grant[]
  /** The subject of the client certificates that stand for it; null for a token with a secret. */
  readonly subject: string | null
  /** Its own rate of requests; null for that of the server. */
  readonly rate: Rate | null
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
  /** Within `usePrecisionMs`; null for never. */
  readonly lastUsedAtMs: number | null
}

/** A token to be created. */
export interface NewToken {
  readonly name: string
  readonly grants: readonly Grant[]
  /** See `Token.subject`. */
  readonly subject: string | null
  readonly rate: Rate | null
  readonly expiresAtMs: number | null
}

/** A token as it is stored, under its id. Its expiry is that of the member. */
interface StoredToken {
  readonly name: string
  readonly grants: readonly GrantJson[]
  /** SHA-256 of the secret, in base64url; missing where certificates stand for it. */
  readonly hash?: string
  readonly subject?: string
  /** As `parseRate` takes it. */
  readonly rate_limit?: string
}

/** A token in memory. */
interface Entry {
  readonly principal: Principal
  readonly hash: Buffer | null
  readonly subject: string | null
  readonly createdAtMs: number
  /** The member from which it was read. */
  readonly version: string
}

/** How exactly the last use of a token is recorded: each use would be a write otherwise. */
const usePrecisionMs = 3_600_000

/** The tokens of a store, in memory. */
export interface TokenRegistry {
  readonly followers: readonly Follower[]
  /** Returns the principal of a token, as of `kvist_<id>_<secret>`; null if it is not valid. */
  find(token: string, nowMs: number): Principal | null
  /** Returns the principal of a verified client certificate, by its subject; null if nothing is granted to it. */
  findSubject(subject: string, nowMs: number): Principal | null
  /** Returns the principal of the token with an id; null if it is not valid any more. */
  principalOf(id: string, nowMs: number): Principal | null
  /** All tokens, the oldest first. */
  list(): Token[]
  get(id: string): Token | null
  /** Whether a token is stored under this id, even one that cannot be read. */
  has(id: string): boolean
  /** The number of stored tokens, expired and unreadable ones included. */
  count(): number
  /** Calls the listener whenever a token is created, expires or is revoked, then with its principal. */
  onChange(listener: (ended: Principal | null) => void): void
  /** Returns whether this use of a token is to be recorded, and takes it as recorded. */
  isNewUse(id: string, nowMs: number): boolean
}

const form = /^kvist_([0-9a-z]{12})_([A-Za-z0-9_-]{43})$/

/** Whether a text has the form of a token. */
export function isToken(text: string): boolean {
  return form.test(text)
}

/** Returns a registry. Stored tokens that cannot be parsed are reported to `onError` and not valid. */
export function tokenRegistry(onError: (error: unknown) => void): TokenRegistry {
  const entries = new Map<string, Entry>()
  /** The entries of client certificates, by their subject. */
  const bySubject = new Map<string, Entry>()
  /** The ids of stored tokens that cannot be read. */
  const unreadable = new Set<string>()
  const uses = new Map<string, number>()
  const listeners: ((ended: Principal | null) => void)[] = []

  function take(id: string, member: Member | null): void {
    const before = entries.get(id)
    if (member !== null && before?.version === versionOf(member)) return
    entries.delete(id)
    unreadable.delete(id)
    if (member !== null) {
      try {
        entries.set(id, entryOf(id, member))
      } catch (error) {
        unreadable.add(id)
        onError(new Error(`the token ${id} cannot be read and is not valid`, { cause: error }))
      }
    }
    if (entries.get(id) === before) return
    if ((entries.get(id) ?? before)?.subject !== null) indexSubjects()
    for (const listener of listeners) listener(before?.principal ?? null)
  }

  /** Of two entries with one subject the younger counts: the other has expired, or was created at the same time. */
  function indexSubjects(): void {
    bySubject.clear()
    for (const entry of [...entries.values()].toSorted((a, b) => a.createdAtMs - b.createdAtMs)) {
      if (entry.subject !== null) bySubject.set(entry.subject, entry)
    }
  }

  function takeUse(id: string, member: Member | null): void {
    const ms = member === null ? Number.NaN : Number(member.value)
    if (ms >= 0 && ms <= maxTimeMs) uses.set(id, ms)
    else uses.delete(id)
  }

  const shown = (id: string, { principal, subject, createdAtMs }: Entry): Token => {
    const { name, grants, expiresAtMs, rateLimit } = principal
    const rate = rateLimit?.rate ?? null
    return { id, name, grants, subject, rate, createdAtMs, expiresAtMs, lastUsedAtMs: uses.get(id) ?? null }
  }

  return {
    followers: [
      follower({ collection: tokensCollection, take, keys: () => [...entries.keys(), ...unreadable] }),
      follower({ collection: usesCollection, take: takeUse, keys: () => uses.keys() }),
    ],
    find(token, nowMs) {
      const [, id = '', secret = ''] = form.exec(token) ?? []
      const entry = entries.get(id)
      const isRight = timingSafeEqual(hashOf(secret), entry?.hash ?? noHash)
      return entry === undefined || !isRight ? null : unexpired(entry, nowMs)
    },
    findSubject(subject, nowMs) {
      const entry = bySubject.get(subject)
      return entry === undefined ? null : unexpired(entry, nowMs)
    },
    principalOf(id, nowMs) {
      const entry = entries.get(id)
      return entry === undefined ? null : unexpired(entry, nowMs)
    },
    list: () =>
      [...entries]
        .map(([id, entry]) => shown(id, entry))
        .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1)),
    get(id) {
      const entry = entries.get(id)
      return entry === undefined ? null : shown(id, entry)
    },
    has: (id) => entries.has(id) || unreadable.has(id),
    count: () => entries.size + unreadable.size,
    onChange: (listener) => void listeners.push(listener),
    isNewUse(id, nowMs) {
      const before = uses.get(id) ?? Number.NEGATIVE_INFINITY
      if (Math.abs(nowMs - before) < usePrecisionMs) return false
      uses.set(id, nowMs)
      return true
    },
  }
}

function unexpired({ principal }: Entry, nowMs: number): Principal | null {
  const { expiresAtMs } = principal
  return expiresAtMs !== null && expiresAtMs <= nowMs ? null : principal
}

const storedFields: ReadonlySet<string> = new Set(['name', 'grants', 'hash', 'subject', 'rate_limit'])

/**
 * Throws when a stored token is not as this version of kvist writes them: what is damaged may not grant anything, nor
 * may a token with a restriction of a later version.
 */
function entryOf(id: string, member: Member): Entry {
  const stored: StoredToken = JSON.parse(String(member.value))
  const unknown = Object.keys(stored).find((field) => !storedFields.has(field))
  if (unknown !== undefined) throw new Error(`it has a field ${unknown}`)
  const { hash, subject, rate_limit: rateText } = stored
  if ((hash === undefined) === (subject === undefined)) throw new Error('it has not one of hash and subject')
  const name = parseTokenName(stored.name)
  const grants = parseGrants(stored.grants)
  const { createdAtMs, expiresAtMs } = member
  const rateLimit = rateText === undefined ? null : rateLimitOf(rateText)
  const permits = permitsOf(grants)
  const principal = { id, name, isAuthenticated: true, grants, permits, expiresAtMs, rateLimit }
  return {
    principal,
    hash: hash === undefined ? null : parseHash(hash),
    subject: subject === undefined ? null : parseSubject(subject),
    createdAtMs,
    version: versionOf(member),
  }
}

function versionOf({ revision, clock, expiresAtMs }: Member): string {
  return `${revision} ${clock} ${expiresAtMs}`
}

function parseHash(text: string): Buffer {
  const hash = Buffer.from(text, 'base64url')
  if (hash.length === noHash.length) return hash
  throw new Error('its hash is not a SHA-256')
}

function rateLimitOf(text: string): RateLimit {
  const rate = parseRate(text)
  if (rate === null) throw new Error('its rate limit is not one')
  return new RateLimit(rate)
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** Compared with the hash of a token whose id is unknown, so that it takes the same time. No secret has this hash. */
const noHash = randomBytes(32)

/** Creates and revokes tokens. */
export interface Tokens extends Pick<TokenRegistry, 'list' | 'get'> {
  /**
   * Returns the token with its text, which is not stored; null where certificates stand for it. Rejects with
   * `unprocessable` if there are too many, and with `conflict` if the subject has one.
   */
  create(token: NewToken, nowMs: number): Promise<{ readonly text: string | null; readonly token: Token }>
  /** Returns whether there was such a token. */
  revoke(id: string): Promise<boolean>
}

/** The part of the store that tokens use. */
export interface TokenStore {
  write(writes: readonly (Put | Delete)[], durability: Durability): Promise<unknown>
}

export function tokensOf(registry: TokenRegistry, db: TokenStore): Tokens {
  /** The number of tokens that are being written. */
  let creating = 0

  return {
    list: registry.list,
    get: registry.get,
    async create({ name, grants, subject, rate, expiresAtMs }, nowMs) {
      const same = subject === null ? null : registry.findSubject(subject, nowMs)
      if (same !== null) throw new KvistError('conflict', `the subject ${subject} has the token ${same.id}`)
      if (registry.count() + creating >= maxTokens) {
        throw new KvistError('unprocessable', `there can be only ${maxTokens} tokens`, { limit: maxTokens })
      }
      const id = newId()
      const secret = randomBytes(32).toString('base64url')
      const stored: StoredToken = {
        name,
        grants: grants.map(grantJson),
        ...(subject === null ? { hash: hashOf(secret).toString('base64url') } : { subject }),
        ...(rate === null ? {} : { rate_limit: showRate(rate) }),
      }
      creating++
      try {
        await db.write([putOf(tokensCollection, id, JSON.stringify(stored), expiresAtMs)], 'full')
      } finally {
        creating--
      }
      return { text: subject === null ? `kvist_${id}_${secret}` : null, token: registry.get(id)! }
    },
    async revoke(id) {
      if (!registry.has(id)) return false
      // Whatever the store's durability is: a power cut must not bring a revoked token back.
      await db.write([deleteOf(tokensCollection, id), deleteOf(usesCollection, id)], 'full')
      return true
    },
  }
}

/** Returns the write that records a use of a token. */
export function useWrite({ id, expiresAtMs }: Principal, nowMs: number): Put {
  return putOf(usesCollection, id, String(nowMs), expiresAtMs)
}

function putOf(collection: string, key: string, value: string, expiresAtMs: number | null): Put {
  return { op: 'put', collection, key, value, contentType: jsonContentType, flags: 0, expiresAtMs }
}

function deleteOf(collection: string, key: string): Delete {
  return { op: 'delete', collection, key, cause: 'delete' }
}

const idCharacters = '0123456789abcdefghijklmnopqrstuvwxyz'

/** Returns a new id: 12 random characters, of which two in a store of ten thousand tokens are never the same. */
function newId(): string {
  let id = ''
  while (id.length < 12) {
    for (const byte of randomBytes(16)) {
      // Larger bytes would make the first characters more likely than the others.
      if (byte < 252 && id.length < 12) id += idCharacters[byte % 36]
    }
  }
  return id
}

/** Returns the name of a token, as people know it. Throws `invalid_request`. */
export function parseTokenName(given: unknown): string {
  const isText = typeof given === 'string' && given.isWellFormed() && given.trim() !== ''
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (isText && Buffer.byteLength(given) <= maxTokenNameBytes && !/[\x00-\x1f\x7f]/.test(given)) return given
  throw new KvistError(
    'invalid_request',
    `"name" is 1 to ${maxTokenNameBytes} bytes of text without control characters`,
    { limit_bytes: maxTokenNameBytes },
  )
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are escaped in a subject
const subjectForm = /^[A-Za-z0-9.-]{1,64}=[^\x00-\x1f\x7f]*$/

/** Returns the subject of a client certificate, as RFC 2253 writes it. Throws `invalid_request`. */
export function parseSubject(given: unknown): string {
  const isText = typeof given === 'string' && given.isWellFormed() && subjectForm.test(given)
  if (isText && Buffer.byteLength(given) <= maxSubjectBytes) return given
  throw new KvistError(
    'invalid_request',
    `"subject" is that of a client certificate, as RFC 2253 writes it, in at most ${maxSubjectBytes} bytes: "CN=app,O=Acme"`,
    { limit_bytes: maxSubjectBytes },
  )
}
