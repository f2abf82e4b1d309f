import { connect } from 'node:net'
import { eventParser, type SentEvent } from './events.ts'

/** A watch on a socket of its own, which can stop reading: fetch would read on by itself. Text is ASCII. */
export interface RawWatch {
  /** What has come of the head and, decoded, of the stream. */
  received(): number
  lastId(): string
  pause(): void
  resume(): void
  /** Goes away without a word. */
  destroy(): void
  /** Says that it has nothing more to say; servers end such connections. */
  end(): void
  /** How it ended: the stream was finished by the server, or broke off. */
  readonly closed: Promise<'finished' | 'broken'>
}

/** Resolves when the server says that it watches. */
export function rawWatch(
  port: number,
  path: string,
  { lastId, onEvent = () => {} }: { lastId?: string; onEvent?: (event: SentEvent) => void } = {},
): Promise<RawWatch> {
  const parser = eventParser(onEvent)
  const chunks = chunkReader((text) => parser.push(text))
  let received = 0
  const headers = lastId === undefined ? '' : `Last-Event-ID: ${lastId}\r\n`
  const socket = connect(port, '127.0.0.1', () =>
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n${headers}\r\n`),
  )
  socket.on('error', () => {})
  const closed = new Promise<'finished' | 'broken'>((resolve) => {
    socket.on('close', () => resolve(chunks.isFinished() ? 'finished' : 'broken'))
  })
  return new Promise((resolve, reject) => {
    socket.on('data', (part: Buffer) => {
      received += part.length
      chunks.push(part.toString('latin1'))
      if (parser.comments.length === 0) return
      resolve({
        received: () => received,
        lastId: parser.lastId,
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        destroy: () => socket.destroy(),
        end: () => socket.end(),
        closed,
      })
    })
    closed.then((how) => reject(new Error(`${path}: the connection was ${how} before anything came`)))
  })
}

/** Undoes the chunked coding of one response, as its bytes come. */
function chunkReader(onText: (text: string) => void) {
  let held = ''
  let inHead = true
  let left = 0
  let isFinished = false

  function step(): boolean {
    if (left > 0) {
      const text = held.slice(0, left)
      held = held.slice(text.length)
      left -= text.length
      onText(text)
      return text !== ''
    }
    const mark = inHead ? '\r\n\r\n' : '\r\n'
    // The line break after a chunk stands before the size of the next.
    const end = held.indexOf(mark, !inHead && held.startsWith('\r\n') ? 2 : 0)
    if (end === -1) return false
    const line = held.slice(0, end)
    held = held.slice(end + mark.length)
    if (inHead) {
      if (!line.startsWith('HTTP/1.1 200 ')) throw new Error(line)
      inHead = false
      return true
    }
    left = Number.parseInt(line.trim(), 16)
    if (left === 0) isFinished = true
    return left > 0
  }

  return {
    isFinished: () => isFinished,
    push(text: string) {
      held += text
      while (held !== '' && step());
    },
  }
}
