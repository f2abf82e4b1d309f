import type { Socket } from '../../src/net/socket.ts'

/** A socket in no network: what is written is kept, and what is done to it is listed. */
export interface FakeSocket extends Socket {
  /** How much it takes of the next writes, in all; without limit at first. */
  room: number
  /** What was written, a letter for a byte. */
  readonly said: () => string
  /** `shutdown`, `end`, `terminate`, `pause`, `resume`, in their order. */
  readonly done: string[]
}

export function fakeSocket(remoteAddress = '127.0.0.1'): FakeSocket {
  const parts: Buffer[] = []
  const done: string[] = []
  return {
    remoteAddress,
    room: Number.POSITIVE_INFINITY,
    said: () => Buffer.concat(parts).toString('latin1'),
    done,
    write(part, offset = 0, length = part.length) {
      const bytes =
        typeof part === 'string'
          ? Buffer.from(part)
          : Buffer.from(part.buffer, part.byteOffset + offset, length)
      const taken = Math.min(bytes.length, this.room)
      this.room -= taken
      parts.push(Buffer.from(bytes.subarray(0, taken)))
      return taken
    },
    shutdown: () => void done.push('shutdown'),
    end: () => void done.push('end'),
    terminate: () => void done.push('terminate'),
    pause: () => void done.push('pause'),
    resume: () => void done.push('resume'),
  }
}
