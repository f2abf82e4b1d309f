import type { ProtocolConnection, SecondClock } from '../connections.ts'
import { ignoredEvents, type SocketEvents } from '../socket.ts'
import type { TlsSource } from './reload.ts'
import { subjectOf } from './subject.ts'

/** A socket of the runtime. */
export type BunSocket = Bun.Socket<SocketEvents>
export type Handlers = Bun.SocketHandler<SocketEvents, 'buffer'>

/** A client whose handshake failed. */
export interface HandshakeFailure {
  readonly address: string
  readonly why: string
}

/** What a handshake says of a client. */
export interface SecureClient {
  /** The subject of its verified certificate; null without one. */
  readonly subject: string | null
  /** The application protocol that was negotiated; null without one. */
  readonly protocol: string | null
}

export interface HandshakeOptions {
  readonly source: TlsSource
  readonly clock: SecondClock
  /** A client that takes longer is disconnected. */
  readonly timeoutSeconds: number
  /** The application protocols, the preferred one first, for clients that negotiate one (ALPN); may be empty. */
  readonly protocols: readonly string[]
  readonly onFailure: (failure: HandshakeFailure) => void
  /** The handlers of the upgraded socket, made by `upgradedHandlers`. */
  readonly handlers: Handlers
  /** Takes over the upgraded socket. */
  readonly onDone: (handshake: Handshake, socket: BunSocket, client: SecureClient) => void
  /** Takes over the socket of a client that does not speak TLS. */
  readonly onPlainText: (handshake: Handshake, socket: BunSocket) => void
}

/**
 * What `upgradeTLS` of an accepted socket takes besides its documented options: node:tls of this runtime is built on
 * these (docs/design/tls.md).
 */
interface ServerUpgrade extends Bun.TLSUpgradeOptions<SocketEvents> {
  readonly isServer: true
  /** Bytes that were read before the upgrade. */
  readonly initialData: Buffer
  readonly tls: Bun.TLSOptions & { readonly secureContext: unknown }
}

/** The first byte of a TLS client: a record of the type `handshake`. */
const handshakeRecordType = 0x16

/**
 * One client until its handshake is done. The first bytes are read in plain text, so that a client that does not speak
 * TLS gets a response that it can read; then the socket is upgraded with the certificate of that moment.
 */
export class Handshake implements ProtocolConnection {
  readonly activity = 'new'
  readonly isFinished = false
  readonly lastActive: number
  private readonly options: HandshakeOptions
  private readonly address: string
  private socket: BunSocket
  private asksForCertificate = false
  private phase: 'waiting' | 'begun' | 'over' = 'waiting'

  constructor(options: HandshakeOptions, socket: BunSocket) {
    this.options = options
    this.socket = socket
    this.address = socket.remoteAddress
    this.lastActive = options.clock.seconds
  }

  /** The first bytes of the client. Those after the upgrade are read by the runtime. */
  receive(bytes: Buffer): void {
    if (bytes[0] === handshakeRecordType) {
      this.upgrade(bytes)
      return
    }
    this.phase = 'over'
    this.options.onPlainText(this, this.socket)
  }

  drained(): void {}

  halfClosed(): void {
    this.socket.terminate()
  }

  closed(): void {
    this.fail('the client disconnected')
  }

  checkTimeouts(): void {
    const { clock, timeoutSeconds } = this.options
    if (clock.seconds - this.lastActive <= timeoutSeconds) return
    this.fail(`it took longer than ${timeoutSeconds} s`)
    this.socket.terminate()
  }

  finish(): void {
    this.close()
  }

  close(): void {
    this.phase = 'over'
    this.socket.terminate()
  }

  // For the upgraded socket.

  upgraded(socket: BunSocket): void {
    this.socket = socket
  }

  /** `isComplete` says that the handshake succeeded; the error may then be about the client's certificate. */
  done(isComplete: boolean, error: Error | null): void {
    const { socket } = this
    if (!isComplete) {
      this.fail(reasonOf(error)) // the runtime closes the socket
      return
    }
    const certificate = this.asksForCertificate ? socket.getPeerX509Certificate() : undefined
    if (certificate !== undefined && !socket.authorized) {
      this.fail(`its certificate is not accepted: ${error?.message ?? 'it does not verify'}`)
      socket.terminate()
      return
    }
    this.phase = 'over'
    this.options.onDone(this, socket, {
      subject: certificate === undefined ? null : subjectOf(certificate),
      protocol: socket.alpnProtocol || null,
    })
  }

  private upgrade(hello: Buffer): void {
    const { source, handlers, protocols } = this.options
    const { context, asksForCertificate } = source.identity
    this.phase = 'begun'
    this.asksForCertificate = asksForCertificate
    const { socket } = this
    // The socket below TLS reports every record that arrives.
    socket.data = ignoredEvents
    const options: ServerUpgrade = {
      isServer: true,
      initialData: hello,
      data: this,
      socket: handlers,
      tls: {
        secureContext: context,
        requestCert: asksForCertificate,
        rejectUnauthorized: false, // a client without a certificate may have a token
        ...(protocols.length === 0 ? {} : { ALPNProtocols: protocols.map(withLength).join('') }),
      },
    }
    socket.upgradeTLS<SocketEvents>(options)
  }

  private fail(why: string): void {
    if (this.phase === 'begun') this.options.onFailure({ address: this.address, why })
    this.phase = 'over'
  }
}

/** Returns handlers for sockets that are upgraded by a handshake. */
export function upgradedHandlers(handlers: Handlers): Handlers {
  return {
    ...handlers,
    open(socket) {
      handlers.open?.(socket)
      if (socket.data instanceof Handshake) socket.data.upgraded(socket)
    },
    handshake({ data }, isComplete, error) {
      if (data instanceof Handshake) data.done(isComplete, error)
    },
  }
}

/** Returns a protocol as ALPN lists it, behind its length (RFC 7301, 3.1). */
function withLength(protocol: string): string {
  return `${String.fromCharCode(protocol.length)}${protocol}`
}

/** Returns what an error of the TLS library says, such as `unsupported protocol`. */
function reasonOf(error: Error | null): string {
  const [, reason] = /:OPENSSL_internal:(\w+)/.exec(error?.message ?? '') ?? []
  return reason?.replaceAll('_', ' ').toLowerCase() ?? error?.message ?? 'it failed'
}
