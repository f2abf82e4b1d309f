import type { RawEvent } from '../../sdk/client.ts'
import { parseExactly } from './exact-json.ts'
import { complain, explain } from './explain.ts'
import { rowsAsTheyCome } from './output.ts'

/** An event as the server wrote it, from a stream or a page of the feed. */
export type Watched = Pick<RawEvent, 'type' | 'json'>

/** Formats events, each as one line. */
export interface WatchLines {
  /** The line of headings; null if there is none. */
  readonly heading: string | null
  line(event: Watched): string
}

/** Formats events as JSON, in the server's own text. */
export const jsonLines: WatchLines = {
  heading: null,
  line: ({ type, json }) => (type === 'reset' ? `{"type":"reset",${json.slice(1)}` : json),
}

/** Formats events in columns. There is no column of times, because a delete and an expiry have none. */
export function columnLines(hasCollections: boolean): WatchLines {
  const headings = ['REVISION', 'TYPE', ...(hasCollections ? ['COLLECTION'] : []), 'KEY', 'VALUE']
  const { heading, row } = rowsAsTheyCome(headings)
  return {
    heading,
    line({ type, json }) {
      if (type === 'reset') return row(['-', type])
      const { revision, collection, key, ...rest }: ExactChange = parseExactly(json)
      const value = type === 'put' ? [shownValue(rest)] : []
      return row([JSON.stringify(revision), type, ...(hasCollections ? [collection] : []), key, ...value])
    },
  }
}

/** A change, with the text of its numbers. */
export interface ExactChange {
  readonly type: 'put' | 'leave' | 'delete' | 'expire'
  readonly revision: unknown
  readonly collection: string
  readonly key: string
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}

/** Returns a value for a column; text is quoted, so that its line breaks do not break the line. */
export function shownValue({
  value,
  value_text,
  value_base64,
}: Pick<ExactChange, 'value' | 'value_text' | 'value_base64'>): string {
  return value_base64 ?? JSON.stringify(value_text ?? value)
}

/** Whether the server can be reached. Each change is printed. */
export interface Link {
  isUp(): void
  isDown(error: unknown): void
  /** Returns whether the server was ever reached. */
  wasUp(): boolean
}

/** Returns a link. `begin` is called at the first connection. */
export function newLink(begin: () => void): Link {
  let state: 'new' | 'up' | 'down' = 'new'
  return {
    isUp() {
      if (state === 'new') begin()
      if (state === 'down') complain('connected again')
      state = 'up'
    },
    isDown(error) {
      if (state === 'up') complain(`lost the connection, trying again: ${explain(error).line}`)
      state = 'down'
    },
    wasUp: () => state !== 'new',
  }
}
