import { KvistError } from '../core/errors.ts'
import { headerBits } from './wire/head.ts'
import type { HttpRequest } from './wire/request.ts'

/**
 * Conditional headers that the server must honour or refuse, because ignoring a header such as `If-Match` would lose
 * data. A route declares those that it honours (`Route.honours`); a request with any other is refused before it is
 * handled.
 */
const displayNames = {
  'if-match': 'If-Match',
  'if-none-match': 'If-None-Match',
  'if-modified-since': 'If-Modified-Since',
  'if-unmodified-since': 'If-Unmodified-Since',
  'if-range': 'If-Range',
  'content-range': 'Content-Range',
  'idempotency-key': 'Idempotency-Key',
} as const

export type BindingHeader = keyof typeof displayNames

export const bindingHeaders = Object.keys(displayNames) as BindingHeader[]

/**
 * Headers that every reading route may ignore: these allow a shorter response and never demand one. `Content-Range` and
 * `Idempotency-Key` mean nothing there.
 */
const honouredByReads: readonly BindingHeader[] = [
  'if-none-match',
  'if-modified-since',
  'if-range',
  'content-range',
  'idempotency-key',
]

const readingMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** The part of a route that determines which binding headers it honours. */
interface Honouring {
  readonly method: string
  readonly honours?: readonly BindingHeader[]
}

/** Whether a route honours a header, or may ignore it. */
export function honours({ method, honours: own = [] }: Honouring, name: BindingHeader): boolean {
  return own.includes(name) || (readingMethods.has(method) && honouredByReads.includes(name))
}

/** Returns the bits of the binding headers that a route must refuse. */
export function refusedBits(route: Honouring): number {
  return headerBits(bindingHeaders.filter((name) => !honours(route, name)))
}

/** Throws `invalid_request` when the request has one of the headers in `refused`. */
export function refuseHeaders({ present }: HttpRequest, refused: number): void {
  if ((present & refused) === 0) return
  const name = bindingHeaders.find((one) => (present & refused & headerBits([one])) !== 0)!
  throw new KvistError('invalid_request', `${displayNames[name]} cannot be honoured here: leave it out`, {
    header: displayNames[name],
  })
}
