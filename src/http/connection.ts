import { KvistError } from '../core/errors.ts'
import type { Connection, Lasting, RoutedRequest } from './route.ts'

/** What all connections of a server share. */
export interface Connections {
  /** Of a client that shows no sign of life. */
  readonly timeoutSeconds: number
  /** Answers that last. */
  readonly lasting: Set<Lasting>
  isStopping: boolean
  readonly report: (error: unknown, request: Request) => void
}

/** A class, for every request makes one: its methods are there once. */
export class RequestConnection implements Connection {
  private readonly request: RoutedRequest
  private readonly server: Bun.Server<undefined>
  private readonly all: Connections

  constructor(request: RoutedRequest, server: Bun.Server<undefined>, all: Connections) {
    this.request = request
    this.server = server
    this.all = all
  }

  renew(): void {
    this.server.timeout(this.request, this.all.timeoutSeconds)
  }

  hold(): void {
    this.server.timeout(this.request, 0)
  }

  /** Closing the stream would wait until the client has taken what was sent before. */
  cut(): void {
    this.server.timeout(this.request, 1)
  }

  failed(error: unknown): void {
    this.all.report(error, this.request)
  }

  keep(answer: Lasting): void {
    if (this.all.isStopping) throw new KvistError('closing', 'the server stops')
    this.all.lasting.add(answer)
  }

  letGo(answer: Lasting): void {
    this.all.lasting.delete(answer)
  }
}
