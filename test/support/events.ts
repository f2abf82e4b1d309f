/** Server-sent events as a client sees them, read by the letter of HTML, 9.2. */

export interface SentEvent {
  readonly type: string
  readonly data: string
  /** What a client would resume from after it. */
  readonly lastId: string
}

/** A change as the feed shows it. */
export interface SentChange {
  readonly revision: number
  readonly type: 'put' | 'delete' | 'expire'
  readonly collection: string
  readonly key: string
  readonly value?: unknown
  readonly value_base64?: string
  readonly created_at?: string
  readonly updated_at?: string
  readonly expires_at?: string | null
  readonly content_type?: string
}

export interface EventParser {
  push(text: string): void
  /** From which a client would resume; empty before the first id. */
  lastId(): string
  readonly comments: string[]
}

export function eventParser(onEvent: (event: SentEvent) => void): EventParser {
  let carried: string[] = []
  let type = ''
  let data: string[] = []
  let id = ''
  let lastId = ''
  const comments: string[] = []

  function line(text: string): void {
    if (text === '') {
      lastId = id
      if (data.length > 0) onEvent({ type: type || 'message', data: data.join('\n'), lastId })
      type = ''
      data = []
      return
    }
    const colon = text.indexOf(':')
    const name = colon === -1 ? text : text.slice(0, colon)
    const value = colon === -1 ? '' : text.slice(colon + 1).replace(/^ /, '')
    if (colon === 0) comments.push(value)
    else if (name === 'event') type = value
    else if (name === 'data') data.push(value)
    else if (name === 'id') id = value
  }

  return {
    comments,
    lastId: () => lastId,
    push(text) {
      carried.push(text)
      // A line of megabytes comes in many pieces.
      if (!/[\r\n]/.test(text)) return
      const lines = carried.join('').split(/\r\n|\n|\r/)
      carried = [lines.pop()!]
      for (const one of lines) line(one)
    },
  }
}

export interface Watch {
  readonly response: Response
  /** All so far. */
  readonly events: readonly SentEvent[]
  readonly comments: readonly string[]
  lastId(): string
  /** Waits until there are so many events, and gives them. Throws when the stream ends before. */
  until(count: number): Promise<readonly SentEvent[]>
  /** Waits until something holds, looked at whenever something comes. Throws when the stream ends before. */
  untilSo(holds: () => boolean): Promise<void>
  /** Resolves when the stream has ended, whoever ended it. */
  readonly ended: Promise<void>
  close(): void
}

/** Opens a stream, and waits until the server says that it watches. Throws with any other response. */
export async function openWatch(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  onEvent: (event: SentEvent) => void = () => {},
): Promise<Watch> {
  const abort = new AbortController()
  const response = await fetch(url, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: abort.signal,
  })
  if (response.status !== 200 || response.body === null)
    throw new Error(`${response.status} ${await response.text()}`)
  const events: SentEvent[] = []
  const parser = eventParser((event) => {
    events.push(event)
    onEvent(event)
  })
  let hasEnded = false
  let notified = () => {}
  const ended = readAll(response.body, (text) => {
    parser.push(text)
    notified()
  }).finally(() => {
    hasEnded = true
    notified()
  })

  async function untilSo(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (hasEnded) throw new Error(`the stream has ended: ${JSON.stringify(events.slice(-3))}`)
      await new Promise<void>((resolve) => {
        notified = resolve
      })
    }
  }

  await untilSo(() => parser.comments.length > 0)
  return {
    response,
    events,
    comments: parser.comments,
    lastId: parser.lastId,
    untilSo,
    async until(count) {
      await untilSo(() => events.length >= count)
      return events
    },
    ended,
    close: () => abort.abort(),
  }
}

async function readAll(body: ReadableStream<Uint8Array>, onText: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  try {
    for await (const part of body) onText(decoder.decode(part, { stream: true }))
  } catch {
    // Cut, or closed here.
  }
}

/** What an event is about; a `reset` is not about one. */
export function changeOf({ type, data }: SentEvent): SentChange {
  const change = JSON.parse(data) as SentChange
  if (change.type !== type) throw new Error(`the event ${type} shows ${data}`)
  return change
}

/** What a reader knows that applies what it reads: values as JSON text, by collection and key. */
export type Folded = Map<string, string>

export function fold(state: Folded, change: SentChange): void {
  const name = `${change.collection}/${change.key}`
  if (change.type === 'put') state.set(name, JSON.stringify(change.value ?? change.value_base64))
  else state.delete(name)
}

/** What the store has, in the same form. */
export async function stateOf(serverUrl: string): Promise<Folded> {
  const { collections } = (await (await fetch(`${serverUrl}/v1`)).json()) as {
    collections: { name: string }[]
  }
  const state: Folded = new Map()
  for (const { name } of collections) {
    const lines = await fetch(`${serverUrl}/v1/${encodeURIComponent(name)}`, {
      headers: { accept: 'application/x-ndjson' },
    })
    for (const line of (await lines.text()).split('\n')) {
      if (line === '') continue
      const { key, value, value_base64 } = JSON.parse(line)
      state.set(`${name}/${key}`, JSON.stringify(value ?? value_base64))
    }
  }
  return state
}

/** Both in the same order, to be compared. */
export function sorted(state: Folded): [name: string, value: string][] {
  return [...state].toSorted(([a], [b]) => (a < b ? -1 : 1))
}
