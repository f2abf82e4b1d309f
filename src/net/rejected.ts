import { ignoredEvents, type Socket, type SocketEvents } from './socket.ts'

/** The number of rejected clients that get time to read the reason; others are disconnected at once. */
export const maxLingering = 16
const lingerMs = 1000

let lingering = 0

/**
 * Rejects a client that was just accepted: sends it the text, and disconnects it. Returns the handlers of the socket's
 * further events.
 */
export function reject(socket: Pick<Socket, 'write' | 'shutdown' | 'end'>, rejection: string): SocketEvents {
  socket.write(rejection)
  if (lingering >= maxLingering) {
    socket.end()
    return ignoredEvents
  }
  lingering++
  // A client that is still sending would get a reset before it reads the text: its input is dropped until it closes.
  socket.shutdown()
  const timer = setTimeout(() => socket.end(), lingerMs)
  timer.unref()
  return {
    ...ignoredEvents,
    closed() {
      lingering--
      clearTimeout(timer)
    },
  }
}
