import type { Socket, SocketEvents } from './socket.ts'

/** So many may take a moment to read why they were turned away; the others are disconnected at once. */
export const maxLingering = 16
const lingerMs = 1000

let lingering = 0

/** Turns a client away that was just accepted: sends it a line or a response, and disconnects it. */
export function reject(socket: Pick<Socket, 'write' | 'shutdown' | 'end'>, rejection: string): SocketEvents {
  socket.write(rejection)
  if (lingering >= maxLingering) {
    socket.end()
    return ignored
  }
  lingering++
  // A client that is still sending would see a reset before it reads: what it sends is dropped until it closes.
  socket.shutdown()
  const timer = setTimeout(() => socket.end(), lingerMs)
  timer.unref()
  return {
    ...ignored,
    closed() {
      lingering--
      clearTimeout(timer)
    },
  }
}

const ignored: SocketEvents = { receive() {}, drained() {}, halfClosed() {}, closed() {} }
