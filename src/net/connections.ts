import { clientNetwork, isLoopback } from './address.ts'
import type { SocketEvents } from './socket.ts'

/** One client of a protocol. */
export interface ProtocolConnection extends SocketEvents {
  /** Called once a second: ends the connection when its client has timed out. */
  checkTimeouts(): void
  /** Called when the server stops: responds to the requests that have arrived completely, then ends the connection. */
  finish(): void
  /** All output is sent, or the server need not wait for this client. */
  readonly isFinished: boolean
  readonly activity: Activity
  /** The second in which the client was last active. */
  readonly lastActive: number
  /** Closes the socket in order, without waiting for the client. */
  close(): void
}

/**
 * What closing a connection would interrupt: a `new` one has not been served yet, an `idle` one was served and waits
 * for the next request or for its client to close, and a `busy` one is in the middle of a request.
 */
export type Activity = 'new' | 'idle' | 'busy'

/** How long a client may take to close after everything is sent and our side is closed. */
export const lingerSeconds = 5

/** Counts seconds since the start of the process. */
export interface SecondClock {
  readonly seconds: number
}

/** The connections of one listener. */
export interface ConnectionGroup {
  readonly max: number
  readonly of: 'listener' | 'handshakes'
  open: number
  /** Connections that were closed to make room for new ones. */
  evicted: number
  /** Connections that were rejected because none could be closed. */
  rejected: number
}

export interface ConnectionLimits {
  readonly maxConnections: number
  /** Maximum from one address, of IPv6 from one /64. */
  readonly maxPerAddress: number
  /** Loopback may have all: behind a proxy on this machine all clients have that address. */
  readonly exemptsLoopback: boolean
  /** Called when a limit is reached, at most once a minute. */
  readonly onFull: (limit: FullLimit) => void
}

export interface FullLimit {
  /** The limit that was reached: of all connections, of one address, of a listener, or of its TLS handshakes. */
  readonly of: 'all' | 'address' | ConnectionGroup['of']
  readonly max: number
  readonly address: string
  /** The new connection was rejected; otherwise another was closed for it. */
  readonly isRejected: boolean
}

interface Entry {
  readonly connection: ProtocolConnection
  readonly network: string
  readonly group: ConnectionGroup
}

/** A connection that may be closed unless it has been active again. */
interface Candidate {
  readonly entry: Entry
  readonly lastActive: number
}

/** A full registry scans this many connections per new one on average, so that a flood costs little. */
const scanPerConnection = 256
const reportSeconds = 60

/**
 * The registry of all connections of the process, of any protocol, which enforces the limits on their number. When
 * there is no room for a new one, it closes another: first one that was not served yet, so that a flood of silent
 * clients does not evict clients at work; else the one that has been idle longest.
 */
export class ConnectionRegistry implements SecondClock {
  seconds = 0
  readonly limits: ConnectionLimits
  private readonly entries = new Map<SocketEvents, Entry>()
  private readonly byNetwork = new Map<string, number>()
  /** Connections that have not been seen served yet, oldest first. */
  private readonly unserved = new Set<Entry>()
  /** Other connections that may be closed; the last is closed first. */
  private candidates: Candidate[] = []
  private scanCredit = 0
  private reportedAt = Number.NEGATIVE_INFINITY
  private readonly timer: NodeJS.Timeout

  constructor(limits: ConnectionLimits) {
    this.limits = limits
    this.timer = setInterval(() => this.passSecond(), 1000)
    this.timer.unref()
  }

  get open(): number {
    return this.entries.size
  }

  group(max = Number.POSITIVE_INFINITY, of: ConnectionGroup['of'] = 'listener'): ConnectionGroup {
    return { max, of, open: 0, evicted: 0, rejected: 0 }
  }

  /** Makes room for a new connection if necessary. Returns false when it must be rejected. */
  admit(group: ConnectionGroup, address: string): boolean {
    const { maxConnections, maxPerAddress, exemptsLoopback } = this.limits
    this.scanCredit = Math.min(this.scanCredit + scanPerConnection, this.entries.size + scanPerConnection)
    if (group.open >= group.max) {
      if (!this.makeRoom(group.of, group, address, (entry) => entry.group === group)) return false
    }
    const network = clientNetwork(address)
    const isExempt = exemptsLoopback && isLoopback(address)
    if (!isExempt && (this.byNetwork.get(network) ?? 0) >= maxPerAddress) {
      if (!this.makeRoom('address', group, address, (entry) => entry.network === network)) return false
    }
    return this.entries.size < maxConnections || this.makeRoom('all', group, address, () => true)
  }

  add(connection: ProtocolConnection, group: ConnectionGroup, address: string): void {
    const network = clientNetwork(address)
    const entry = { connection, network, group }
    this.entries.set(connection, entry)
    this.unserved.add(entry)
    this.byNetwork.set(network, (this.byNetwork.get(network) ?? 0) + 1)
    group.open++
  }

  remove(connection: SocketEvents): void {
    const entry = this.entries.get(connection)
    if (entry === undefined) return
    const { network, group } = entry
    this.entries.delete(connection)
    this.unserved.delete(entry)
    group.open--
    const left = this.byNetwork.get(network)! - 1
    if (left === 0) this.byNetwork.delete(network)
    else this.byNetwork.set(network, left)
  }

  of(group: ConnectionGroup): ProtocolConnection[] {
    return [...this.entries.values()]
      .filter((entry) => entry.group === group)
      .map(({ connection }) => connection)
  }

  /** Advances the clock by one second and checks timeouts. Called by the timer. */
  passSecond(): void {
    this.seconds++
    for (const { connection } of this.entries.values()) connection.checkTimeouts()
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private makeRoom(
    of: FullLimit['of'],
    group: ConnectionGroup,
    address: string,
    isEligible: (entry: Entry) => boolean,
  ): boolean {
    const oldest = this.takeCandidate(isEligible)
    const isRejected = oldest === undefined
    this.report(of, group, address, isRejected)
    if (isRejected) {
      group.rejected++
      return false
    }
    oldest.group.evicted++
    oldest.connection.close()
    // The close event of its socket comes later.
    this.remove(oldest.connection)
    return true
  }

  private takeCandidate(isEligible: (entry: Entry) => boolean): Entry | undefined {
    const found = this.nextUnserved(isEligible) ?? this.nextCandidate(isEligible)
    if (found !== undefined || this.scanCredit < this.entries.size) return found
    this.scanCredit -= this.entries.size
    this.candidates = [...this.entries.values()]
      .reverse() // among those active in the same second the oldest must be last
      .filter(({ connection }) => connection.activity !== 'busy')
      .map((entry) => ({ entry, lastActive: entry.connection.lastActive }))
      .sort((a, b) => b.lastActive - a.lastActive)
    return this.nextCandidate(isEligible)
  }

  private nextUnserved(isEligible: (entry: Entry) => boolean): Entry | undefined {
    for (const entry of this.unserved) {
      const { activity } = entry.connection
      if (activity === 'new' && isEligible(entry)) return entry
      if (activity === 'idle') this.unserved.delete(entry)
      else if (this.scanCredit-- <= 0) return undefined
    }
    return undefined
  }

  /** Removes and returns the next candidate that was not active since it became one. */
  private nextCandidate(isEligible: (entry: Entry) => boolean): Entry | undefined {
    const { candidates } = this
    for (let i = candidates.length - 1; i >= 0; i--) {
      const { entry, lastActive } = candidates[i]!
      const { connection } = entry
      const isStale =
        !this.entries.has(connection) ||
        connection.activity === 'busy' ||
        connection.lastActive !== lastActive
      if (!isStale && !isEligible(entry)) {
        if (this.scanCredit-- <= 0) return undefined
        continue
      }
      candidates.splice(i, 1)
      if (!isStale) return entry
    }
    return undefined
  }

  private report(of: FullLimit['of'], group: ConnectionGroup, address: string, isRejected: boolean): void {
    if (this.seconds - this.reportedAt < reportSeconds) return
    this.reportedAt = this.seconds
    const { maxConnections, maxPerAddress } = this.limits
    const max = { all: maxConnections, address: maxPerAddress, listener: group.max, handshakes: group.max }[
      of
    ]
    this.limits.onFull({ of, max, address, isRejected })
  }
}
