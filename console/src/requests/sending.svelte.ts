import { session } from '../api/session.svelte.ts'
import { monotonicMs } from '../live/now.svelte.ts'
import type { RequestDraft } from './operations.ts'

/** What came back. */
export interface Received {
  readonly draft: RequestDraft
  readonly status: number
  readonly statusText: string
  readonly tookMs: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly type: string
  /** The text as it came, or what it is where it is no text. */
  readonly text: string
  readonly bytes: number
  readonly isText: boolean
  /** A stream that goes on, or a body that was longer than is shown. */
  readonly isCut: boolean
}

const shownBytes = 512 * 1024
/** Watches and long polls are shown as far as they have come. */
const streamMs = 3000
const keptDrafts = 30

class Sending {
  received: Received | null = $state.raw(null)
  error: unknown = $state.raw(null)
  isBusy = $state(false)
  /** What was sent since the page was opened, the last first. */
  history: readonly Received[] = $state.raw([])
  #abort: AbortController | null = null

  cancel(): void {
    this.#abort?.abort()
  }

  async send(draft: RequestDraft): Promise<void> {
    this.cancel()
    const abort = new AbortController()
    this.#abort = abort
    this.isBusy = true
    this.error = null
    try {
      const received = await receive(draft, abort.signal)
      if (this.#abort !== abort) return
      this.received = received
      this.history = [received, ...this.history].slice(0, keptDrafts)
    } catch (error) {
      if (this.#abort === abort && !abort.signal.aborted) this.error = error
    } finally {
      if (this.#abort === abort) this.isBusy = false
    }
  }
}

export const sending = new Sending()

async function receive(draft: RequestDraft, signal: AbortSignal): Promise<Received> {
  const { authorization } = session
  const headers = new Headers()
  for (const [name, value] of draft.headers) headers.append(name, value)
  if (authorization !== null && !headers.has('Authorization')) headers.set('Authorization', authorization)
  const { method, target, body } = draft
  const startedMs = monotonicMs()
  const response = await fetch(target, {
    method,
    headers,
    signal,
    ...(body !== '' && { body }),
    cache: 'no-store',
  })
  const tookMs = monotonicMs() - startedMs
  const type = response.headers.get('Content-Type') ?? ''
  const { bytes, isCut } = await readSome(response)
  const text = textOf(bytes)
  return {
    ...{ draft, status: response.status, statusText: response.statusText, tookMs, type, isCut },
    headers: [...response.headers],
    text: text ?? '',
    bytes: bytes.length,
    isText: text !== null,
  }
}

/** Reads a body as far as it is shown. A stream is left after some seconds. */
async function readSome(response: Response): Promise<{ bytes: Uint8Array; isCut: boolean }> {
  const reader = response.body?.getReader()
  if (reader === undefined) return { bytes: new Uint8Array(), isCut: false }
  const isStream = response.headers.get('Content-Type')?.startsWith('text/event-stream') ?? false
  let isCut = false
  const stop = () => {
    isCut = true
    void reader.cancel()
  }
  const timer = isStream ? setTimeout(stop, streamMs) : undefined
  const parts: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { value, done } = await reader.read()
    if (done) break
    parts.push(value)
    length += value.length
    if (length > shownBytes) stop()
  }
  clearTimeout(timer)
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return { bytes: bytes.subarray(0, shownBytes), isCut }
}

/** Null for bytes that are no text. A character that was cut at the end is left out. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
  } catch {
    return null
  }
}
