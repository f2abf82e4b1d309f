import { HttpConnection, type Port } from './connection.ts'

/** Where HTTP/1.1 is spoken. */
export interface Listener {
  readonly url: string
  openConnections(): number
  /**
   * Takes no more connections, ends answers that last, lets what else is in flight finish within the time, then cuts
   * what is left.
   */
  stop(timeoutMs: number): Promise<void>
}

const tickMs = 1000
/** A peer that vanished without a word is found out. */
const keepAliveMs = 60_000
const lookAgainMs = 10
/** What so many connections leave behind is tidied up: see wire/body.ts. */
const tidyConnections = 1000
/** At the end, what was sent may be taken within this. */
const lingerMs = 500

type Handlers = Bun.SocketHandler<HttpConnection, 'buffer'>

function bind(hostname: string, port: number, socket: Handlers): Bun.TCPSocketListener<HttpConnection> {
  try {
    // Half open: a client that has sent its last request, and says so, still wants the answer.
    return Bun.listen({ hostname, port, exclusive: true, allowHalfOpen: true, socket })
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    const why = isTaken ? ', which is in use' : ''
    throw new Error(`cannot listen on ${hostname}, port ${port}${why}`, { cause: error })
  }
}

export function openListener(
  port: Port,
  hostname: string,
  tcpPort: number,
  onError: (error: unknown) => void,
): Listener {
  const connections = new Set<HttpConnection>()
  let closed = 0
  const socket: Handlers = {
    open(opened) {
      opened.setNoDelay(true)
      opened.setKeepAlive(true, keepAliveMs)
      opened.data = new HttpConnection(port, opened)
      connections.add(opened.data)
    },
    data: ({ data: connection }, bytes) => connection.receive(bytes),
    drain: ({ data: connection }) => connection.drained(),
    end: ({ data: connection }) => connection.endInput(),
    close({ data: connection }) {
      connections.delete(connection)
      connection.look()
      connection.gone()
      if (++closed % tidyConnections === 0) Bun.gc(true)
    },
    error: (_socket, error) => onError(error),
  }
  const server = bind(hostname, tcpPort, socket)
  const timer = setInterval(() => {
    port.tick++
    for (const connection of connections) connection.beat()
  }, tickMs)
  timer.unref()

  /** All is said, but for answers that were ended and that their clients do not take the rest of. */
  const isSaid = () => [...connections].filter(({ isEnded }) => !isEnded).length <= port.longLived.size

  return {
    url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${server.port}`,
    openConnections: () => connections.size,
    async stop(timeoutMs) {
      port.isStopping = true
      server.stop()
      for (const answer of port.longLived) answer.end()
      for (const connection of connections) connection.endSoon()
      const cutAtMs = performance.now() + timeoutMs
      while (!isSaid() && performance.now() < cutAtMs) await Bun.sleep(lookAgainMs)
      const closeAtMs = Math.min(cutAtMs, performance.now() + lingerMs)
      while (connections.size > 0 && performance.now() < closeAtMs) await Bun.sleep(lookAgainMs)
      clearInterval(timer)
      server.stop(true)
    },
  }
}
