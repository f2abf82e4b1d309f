import { KvistHttpError, KvistPreconditionError } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import type { Change } from '../live/feed.svelte.ts'
import { clock } from '../live/now.svelte.ts'
import { type Draft, keepDraft, takeDraft } from './drafts.ts'
import { maxUnaskedBytes, readMember, readValue } from './read.ts'
import { type Seen, seenOf } from './seen.svelte.ts'
import { kindOf, textOf, type ValueKind } from './value-kinds.ts'
import type { Version } from './version.ts'

/**
 * The open member: what is stored, as last read; what was typed over it; and what others did meanwhile. A text that was typed
 * is never replaced unless the person says so.
 */

/** The member is not there any more. */
export interface Gone {
  readonly type: 'delete' | 'expire'
  /** Deleted by this page. */
  readonly isOwn: boolean
}

export interface Violation {
  readonly pointer: string
  readonly reason: string
}

const newDraft: Draft = { text: '', contentType: 'application/json' }
const encoder = new TextEncoder()

export class OpenMember {
  readonly collection: string
  readonly key: string
  readonly seen: Seen
  /** absent: there is no such member, so it can be made. */
  state: 'loading' | 'shown' | 'absent' | 'failed' = $state('loading')
  /** Why it could not be read. */
  error: unknown = $state.raw(null)
  /** What the text is based on; also what was there when it is gone. */
  version: Version | null = $state.raw(null)
  gone: Gone | null = $state.raw(null)
  /** What somebody else has saved over it while there are unsaved changes. */
  incoming: Version | null = $state.raw(null)
  draft: Draft | null = $state.raw(null)
  isSaving = $state(false)
  saveError: unknown = $state.raw(null)
  /** How what was refused breaks the schema of the collection; until the text is changed. */
  violations: readonly Violation[] = $state.raw([])
  /** Counts versions that came from elsewhere: what they changed is marked. */
  news = $state(0)
  #isReading = false
  #readAgain = false
  #hasMissed = false

  readonly text: string = $derived(this.draft?.text ?? this.version?.text ?? '')
  readonly contentType: string = $derived(
    this.draft?.contentType ?? this.version?.contentType ?? newDraft.contentType,
  )
  readonly kind: ValueKind = $derived(
    kindOf(this.contentType, this.version === null ? '' : this.version.text),
  )
  readonly isLarge: boolean = $derived(this.version !== null && this.version.value === null)
  readonly isDirty: boolean = $derived(
    this.draft !== null &&
      (this.draft.text !== (this.version?.text ?? '') ||
        this.draft.contentType !== (this.version?.contentType ?? newDraft.contentType)),
  )
  readonly expiresAtMs: number | null = $derived(
    this.version?.expiresAt == null ? null : Date.parse(this.version.expiresAt),
  )

  constructor(collection: string, key: string) {
    this.collection = collection
    this.key = key
    this.seen = seenOf(collection, key)
    const kept = takeDraft(collection, key)
    if (kept !== null) this.draft = kept
  }

  /** Reads the member, and again if it changes while it is being read. */
  async load(): Promise<void> {
    if (this.#isReading) {
      this.#readAgain = true
      return
    }
    this.#isReading = true
    try {
      do {
        this.#readAgain = false
        this.#arrive(await readMember(this.collection, this.key))
      } while (this.#readAgain)
      this.error = null
    } catch (error) {
      session.noticed(error)
      this.error = error
      if (this.state === 'loading') this.state = 'failed'
    } finally {
      this.#isReading = false
    }
  }

  /** Loads a value that is too large to be loaded unasked. */
  async loadLarge(): Promise<Version | null> {
    const version = await readValue(this.collection, this.key)
    if (version === null) this.#lost({ type: 'delete', isOwn: false })
    else this.#show(version)
    return version
  }

  /** Changes that the feed tells of. */
  onChanges(changes: readonly Change[]): void {
    const last = changes.at(-1)!
    const known = Math.max(this.version?.revision ?? 0, this.incoming?.revision ?? 0)
    if (last.revision <= known) return
    if (this.isSaving) {
      this.#hasMissed = true
      return
    }
    for (const { type, revision } of changes) {
      if (isEnd(type)) this.seen.add({ revision, atMs: clock.ms, type, version: null })
    }
    if (isEnd(last.type)) this.#lost({ type: last.type, isOwn: false })
    else void this.load()
  }

  edit(change: Partial<Draft>): void {
    this.draft = { text: this.text, contentType: this.contentType, ...change }
    if (change.text !== undefined) this.violations = []
    this.#dropCleanDraft()
  }

  revert(): void {
    this.draft = null
    this.saveError = null
    this.violations = []
    if (this.incoming !== null) this.takeTheirs()
  }

  /** Shows what somebody else has saved, in place of what was typed. */
  takeTheirs(): void {
    const theirs = this.incoming
    this.draft = null
    this.incoming = null
    if (theirs === null) return
    this.#show(theirs)
    this.news++
  }

  /** Saves what was typed. Returns false if somebody else has changed the member: nothing is saved then. */
  async save(): Promise<boolean> {
    const { text, contentType } = this
    return this.#put(encoder.encode(text), contentType, this.gone === null ? this.version : null)
  }

  /** Saves a text over what somebody else has saved, which stays `incoming` until the save has ended. */
  async saveOver(theirs: Version, text: string): Promise<boolean> {
    this.version = theirs
    this.edit({ text })
    const isSaved = await this.#put(encoder.encode(text), this.contentType, theirs)
    if (this.incoming?.revision === theirs.revision) this.incoming = null
    return isSaved
  }

  /** Stores bytes, such as those of a file, in place of the value. */
  async replace(bytes: Uint8Array, contentType: string): Promise<boolean> {
    return this.#put(bytes, contentType, this.gone === null ? this.version : null)
  }

  /** Stores an older version again. */
  async restore({ value, contentType }: Version): Promise<boolean> {
    return this.#put(value!, contentType, this.gone === null ? this.version : null)
  }

  async delete(): Promise<void> {
    this.isSaving = true
    try {
      const revision = this.version?.revision
      const condition = revision === undefined ? {} : { ifRevision: revision }
      await session.kvist.collection(this.collection).delete(this.key, condition)
      this.draft = null
      this.#lost({ type: 'delete', isOwn: true })
    } finally {
      this.isSaving = false
      this.#afterSave()
    }
  }

  /** Changes when it expires: `never`, `15m` and so on. */
  async touch(expireIn: string | number): Promise<void> {
    const stored = await session.kvist.collection(this.collection).touch(this.key, { expireIn })
    if (stored === null) this.#lost({ type: 'delete', isOwn: false })
    else if (this.version !== null) this.version = { ...this.version, expiresAt: stored.expires_at }
  }

  /** Keeps what was typed for when the member is opened again. */
  leave(): void {
    if (this.isDirty) keepDraft(this.collection, this.key, this.draft!)
  }

  async #put(bytes: Uint8Array, contentType: string, over: Version | null): Promise<boolean> {
    this.isSaving = true
    this.saveError = null
    this.violations = []
    const sent = this.draft
    try {
      const condition = over === null ? { create: true } : { ifRevision: over.revision }
      // A put without an expiry would set that of the collection; what is saved again keeps its own.
      const expiry = over === null ? {} : { expireAt: over.expiresAt }
      const options = { ...condition, ...expiry }
      const collection = session.kvist.collection(this.collection)
      const stored = await collection.putRaw(this.key, bytes, contentType, options)
      const version: Version = {
        revision: stored.revision,
        contentType: stored.content_type,
        bytes: bytes.length,
        value: bytes,
        text: null,
        createdAt: stored.created_at,
        updatedAt: stored.updated_at,
        expiresAt: stored.expires_at,
        flags: 0,
        origin: over?.origin ?? null,
      }
      this.#saved(await this.#storedAs(version), sent)
      return true
    } catch (error) {
      if (error instanceof KvistPreconditionError) return await this.#refused(error, sent)
      session.noticed(error)
      this.saveError = error
      if (error instanceof KvistHttpError && error.code === 'schema_violation')
        this.violations = violationsOf(error)
      return false
    } finally {
      this.isSaving = false
      this.#afterSave()
    }
  }

  /** Processes of the collection may store something else than what was sent. */
  async #storedAs(sent: Version): Promise<Version> {
    const read =
      sent.bytes > maxUnaskedBytes ? null : await readMember(this.collection, this.key).catch(() => null)
    if (read !== null && read.revision === sent.revision) return read
    return { ...sent, text: textOf(sent.value!) }
  }

  /** Shows what was saved. What was typed while it was being sent is another draft, which stays unsaved. */
  #saved(version: Version, sent: Draft | null): void {
    if (this.draft === sent) this.draft = null
    this.incoming = null
    this.#show(version)
  }

  /** What the feed told during the save may be of the save itself, or of another. */
  #afterSave(): void {
    this.#dropCleanDraft()
    if (this.#hasMissed) void this.load()
    this.#hasMissed = false
  }

  /** Somebody else was faster. A save of which there was no response may have been one's own, too. */
  async #refused(error: KvistPreconditionError, sent: Draft | null): Promise<boolean> {
    let theirs: Version | null
    try {
      theirs = await readMember(this.collection, this.key)
    } catch (caught) {
      session.noticed(caught)
      this.saveError = caught
      return false
    }
    if (theirs === null) {
      this.#lost({ type: 'delete', isOwn: false })
      return false
    }
    if (!this.isDirty) {
      this.#show(theirs)
      this.news++
      this.saveError = error
      return false
    }
    if (theirs.text !== null && theirs.text === sent?.text && theirs.contentType === sent.contentType) {
      this.#saved(theirs, sent)
      return true
    }
    this.#remember(theirs)
    this.gone = null
    this.state = 'shown'
    this.incoming = theirs
    return false
  }

  /** Takes in what was read. */
  #arrive(read: Version | null): void {
    if (read === null) {
      if (this.version === null) this.state = 'absent'
      else if (this.gone === null)
        this.#lost({ type: this.#isPastExpiry() ? 'expire' : 'delete', isOwn: false })
      return
    }
    this.#remember(read)
    const isSame = this.version?.revision === read.revision
    if (isSame || this.version === null || !this.isDirty) {
      // A value that was loaded because a person asked for it stays.
      const isLoaded = isSame && this.version?.value != null && read.value === null
      const isNews = !isSame && this.version !== null
      this.#show(isLoaded ? { ...read, value: this.version!.value, text: this.version!.text } : read)
      if (isNews) this.news++
    } else if (read.text !== null && read.text === this.text && read.contentType === this.contentType) {
      this.#saved(read, this.draft)
    } else {
      this.gone = null
      this.incoming = read
    }
  }

  #show(version: Version): void {
    this.#remember(version)
    this.version = version
    this.gone = null
    this.state = 'shown'
    this.#dropCleanDraft()
  }

  /** A draft that is what is stored is none; during a save that is not known yet. */
  #dropCleanDraft(): void {
    if (!this.isSaving && !this.isDirty) this.draft = null
  }

  #lost(gone: Gone): void {
    this.gone = gone
    this.incoming = null
    if (this.version === null) this.state = 'absent'
  }

  #remember(version: Version): void {
    const atMs = version.updatedAt === null ? clock.ms : Date.parse(version.updatedAt)
    this.seen.add({ revision: version.revision, atMs, type: 'put', version })
  }

  #isPastExpiry(): boolean {
    return this.expiresAtMs !== null && this.expiresAtMs <= clock.ms + 1000
  }
}

function isEnd(type: Change['type']): type is Gone['type'] {
  return type === 'delete' || type === 'expire'
}

function violationsOf({ problem }: KvistHttpError): readonly Violation[] {
  const given = problem?.violations
  if (!Array.isArray(given)) return []
  return given.flatMap((found: unknown) => {
    const { pointer, reason } = Object(found) as { pointer?: unknown; reason?: unknown }
    return typeof pointer === 'string' && typeof reason === 'string' ? [{ pointer, reason }] : []
  })
}
