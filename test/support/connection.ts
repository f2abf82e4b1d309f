import { anyone } from '../../src/auth/principal.ts'
import { RequestContext } from '../../src/http/context.ts'
import { requestMemory } from '../../src/http/server.ts'
import type { Connection } from '../../src/http/wire/client-connection.ts'
import { parseHead, Refusal } from '../../src/http/wire/head.ts'
import { HttpRequest } from '../../src/http/wire/request.ts'

export const noConnection: Connection = {
  remoteAddress: '127.0.0.1',
  network: '127.0.0.1',
  clientSubject: null,
  identity: null,
  resetTimeout() {},
  disableTimeout() {},
  abort() {},
  reportError() {},
  onClose() {},
  register() {},
  unregister() {},
  memory: requestMemory(),
  hold() {},
  grow: (share, bytes) => share.grow(bytes),
}

/** The context of a handler that is called without a server, for someone who may do everything. */
export function contextOf(
  request: HttpRequest,
  { connection = noConnection, now = Date.now }: { connection?: Connection; now?: () => number } = {},
): RequestContext {
  const context = new RequestContext(request, connection, { now })
  context.principal = anyone
  return context
}

/** A request with these lines as its head; its body is fed to `request.body`. */
export function requestOf(...lines: string[]): HttpRequest {
  const head = parseHead(Buffer.from([...lines, 'Host: x', '', ''].join('\r\n')))
  if (head === null || head instanceof Refusal) throw new Error(`no request: ${head?.detail}`)
  return new HttpRequest(head, { pull() {}, taken() {} })
}
