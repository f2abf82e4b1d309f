import type { Connection } from '../../src/http/route.ts'
import { parseHead, Refusal } from '../../src/http/wire/head.ts'
import { HttpRequest } from '../../src/http/wire/request.ts'

/** Of a handler that is called without a server. */
export const noConnection: Connection = {
  remoteAddress: '127.0.0.1',
  resetTimeout() {},
  disableTimeout() {},
  abort() {},
  reportError() {},
  onClose() {},
  register() {},
  unregister() {},
}

/** A request with these lines as its head; its body is fed to `request.body`. */
export function requestOf(...lines: string[]): HttpRequest {
  const head = parseHead(Buffer.from([...lines, 'Host: x', '', ''].join('\r\n')))
  if (head === null || head instanceof Refusal) throw new Error(`no request: ${head?.detail}`)
  return new HttpRequest(head, { wanted() {}, taken() {} })
}
