import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * A line between a client and a server on loopback that can be disturbed, each direction by itself.
 *
 *     pass      bytes go on at once
 *     stall     they wait until the line is better, as in a network that is cut for a while
 *     vanish    they are lost, and neither side learns of it: what began to lose bytes never comes right again
 *     slow      they come after a delay, so many at once
 */
export interface FaultProxy {
  readonly url: string
  readonly port: number
  /** Sets both directions, or that to the server (`up`) and that to the client (`down`). */
  set(flow: Flow, direction?: Direction): void
  /** Ends all connections with a reset. */
  reset(): void
  /** Whether new connections are refused. */
  refuse(isRefusing: boolean): void
  /** Whether what comes is reset after so many bytes; null for not. */
  cutAfter(bytes: number | null): void
  /** Sends new connections to another server. */
  pointTo(port: number): void
  /** Lets everything pass again; connections that lost bytes are reset. */
  heal(): void
  /** Connections that were accepted so far. */
  accepted(): number
  stop(): Promise<void>
}

export type Direction = 'up' | 'down'

export type Flow = 'pass' | 'stall' | 'vanish' | { readonly delayMs: number; readonly bytes: number }

interface Line {
  readonly flows: Record<Direction, Flow>
  cutAfterBytes: number | null
  /** Resolves when a flow changes. */
  changed: Promise<void>
}

interface Link {
  readonly sockets: readonly [Socket, Socket]
  hasLost: boolean
  bytes: number
}

export async function faultProxy(targetPort: number): Promise<FaultProxy> {
  const links = new Set<Link>()
  let port = targetPort
  let isRefusing = false
  let accepted = 0
  let notify = () => {}
  const line: Line = { flows: { up: 'pass', down: 'pass' }, cutAfterBytes: null, changed: Promise.resolve() }

  function change(): void {
    notify()
    line.changed = new Promise((resolve) => {
      notify = resolve
    })
  }
  change()

  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    accepted++
    const target = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const link: Link = { sockets: [client, target], hasLost: false, bytes: 0 }
    links.add(link)
    for (const socket of link.sockets) {
      socket.on('error', () => resetLink(link))
      socket.on('close', () => {
        for (const one of link.sockets) one.destroy()
        links.delete(link)
      })
    }
    if (isRefusing) return resetLink(link)
    forward(link, 'up', line).catch(() => resetLink(link))
    forward(link, 'down', line).catch(() => resetLink(link))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')

  function set(flow: Flow, direction?: Direction): void {
    for (const one of direction === undefined ? (['up', 'down'] as const) : [direction])
      line.flows[one] = flow
    change()
  }

  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    set,
    reset() {
      for (const link of links) resetLink(link)
    },
    refuse(refusing) {
      isRefusing = refusing
    },
    cutAfter(bytes) {
      line.cutAfterBytes = bytes
    },
    pointTo(other) {
      port = other
    },
    heal() {
      isRefusing = false
      line.cutAfterBytes = null
      for (const link of links) if (link.hasLost) resetLink(link)
      set('pass')
    },
    accepted: () => accepted,
    async stop() {
      for (const link of links) resetLink(link)
      change()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function resetLink({ sockets }: Link): void {
  for (const socket of sockets) socket.resetAndDestroy()
}

async function forward(link: Link, direction: Direction, line: Line): Promise<void> {
  const [client, target] = link.sockets
  const [from, to] = direction === 'up' ? [client, target] : [target, client]
  for await (const chunk of from) await forwardChunk(link, direction, line, to, chunk as Buffer)
  if (!link.hasLost) to.end()
}

async function forwardChunk(
  link: Link,
  direction: Direction,
  line: Line,
  to: Socket,
  chunk: Buffer,
): Promise<void> {
  while (line.flows[direction] === 'stall') await line.changed
  const flow = line.flows[direction]
  if (flow === 'vanish' || link.hasLost) {
    link.hasLost = true
    return
  }
  link.bytes += chunk.length
  if (line.cutAfterBytes !== null && link.bytes > line.cutAfterBytes) {
    const passing = Math.max(0, chunk.length - (link.bytes - line.cutAfterBytes))
    await write(to, chunk.subarray(0, passing))
    return resetLink(link)
  }
  if (typeof flow === 'string') return write(to, chunk)
  for (let at = 0; at < chunk.length; at += flow.bytes) {
    await Bun.sleep(flow.delayMs)
    await write(to, chunk.subarray(at, at + flow.bytes))
  }
}

function write(to: Socket, bytes: Buffer): Promise<void> {
  if (bytes.length === 0 || to.destroyed || to.write(bytes)) return Promise.resolve()
  return new Promise((resolve) => {
    to.once('drain', resolve)
    to.once('close', () => resolve())
  })
}
