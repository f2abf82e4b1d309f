/** An event of a stream of server-sent events. */
export interface ServerEvent {
  /** `message` where the server names none. */
  readonly type: string
  readonly data: string
  /** The latest id at or before this event; null if there was none. */
  readonly lastId: string | null
}

export interface EventParser {
  /** Returns the events that these bytes complete. An event that the end of the stream cuts off is discarded. */
  push(bytes: Uint8Array): ServerEvent[]
  /** Returns the last id; an empty line makes it count, whether it ends an event or not. */
  lastId(): string | null
  /** Returns the reconnection delay that the server has set; null if none. */
  retryMs(): number | null
}

/** Returns a parser of server-sent events (WHATWG HTML, 9.2.6). The bytes may be split anywhere. */
export function eventParser(): EventParser {
  const decoder = new TextDecoder() // it drops a byte order mark at the start
  let open = ''
  let isAfterReturn = false
  let type = ''
  let data: string | null = null
  let id: string | null = null
  let lastId: string | null = null
  let retryMs: number | null = null

  function takeField(name: string, value: string): void {
    if (name === 'data') data = data === null ? value : `${data}\n${value}`
    else if (name === 'event') type = value
    else if (name === 'id' && !value.includes('\0')) id = value
    else if (name === 'retry' && /^[0-9]+$/.test(value)) retryMs = Number(value)
  }

  function takeLine(line: string, events: ServerEvent[]): void {
    const colon = line.indexOf(':')
    if (line === '') {
      lastId = id
      if (data !== null) events.push({ type: type || 'message', data, lastId })
      type = ''
      data = null
    } else if (colon === -1) takeField(line, '')
    else if (colon > 0)
      takeField(line.slice(0, colon), line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1))
  }

  return {
    push(bytes) {
      let text = decoder.decode(bytes, { stream: true })
      if (text === '') return []
      if (isAfterReturn && text.startsWith('\n')) text = text.slice(1)
      isAfterReturn = text.endsWith('\r')
      if (!/[\r\n]/.test(text)) {
        open += text // a long line is scanned once
        return []
      }
      const lines = (open + text).split(/\r\n|\r|\n/)
      open = lines.pop() ?? ''
      const events: ServerEvent[] = []
      for (const line of lines) takeLine(line, events)
      return events
    },
    lastId: () => lastId,
    retryMs: () => retryMs,
  }
}
