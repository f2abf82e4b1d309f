import { isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../../core/errors.ts'
import { maxHeadBytes, maxTargetBytes } from '../../core/limits.ts'
import { parseFieldLines } from './fields.ts'
import { isHost } from './host.ts'
import { isAt } from './text.ts'

/**
 * Parses the head of a request (RFC 9112, 2 to 3; RFC 9110, 5). Strict: refuses whatever servers and proxies could
 * interpret in two ways, because that is how requests are smuggled.
 */

export interface Head {
  readonly method: string
  /** The path as sent, in origin form, without the query: `/v1/a%20b`. Raw UTF-8 in it is decoded, escapes are not. */
  readonly path: string
  /** What follows the first `?`, not decoded; null without one. */
  readonly query: string | null
  readonly isHttp10: boolean
  readonly headers: HeaderBlock
  /** Length of the head with its empty line. */
  readonly headBytes: number
}

/** The parsed header lines of a request. */
export interface HeaderBlock {
  /** Names in lower case and values, alternating. */
  readonly fields: readonly string[]
  /**
   * The bits of the headers of `NotedHeader` that are present, as `headerBits` gives them: a test of a bit avoids a
   * scan for the name.
   */
  readonly present: number
  /** Declared length of the body; null with chunked coding; 0 without a body. */
  readonly bodyBytes: number | null
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean
  /** The client asks to close the connection after this response. */
  readonly closes: boolean
  /** The origin policy that a request with this block has passed, if any (origin-policy.ts). */
  passedBy: object | null
}

/** Why a request cannot be parsed. The connection is closed after its response. */
export class Refusal {
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string

  constructor(status: number, code: ErrorCode, detail: string) {
    this.status = status
    this.code = code
    this.detail = detail
  }
}

function malformed(detail: string): Refusal {
  return new Refusal(400, 'invalid_request', detail)
}

/** The refusal of a client that speaks TLS: the record of its handshake begins like no request. */
export const tlsRefusal = malformed('this port speaks plain HTTP: the URL begins with http://')
const tlsStart = '\x16'

/** Most heads are shorter; searching a short text for the end of the head is cheaper. */
const usualHeadBytes = 2048

/** Parses the head at the start of `bytes`. Null while the head is incomplete. */
export function parseHead(bytes: Buffer): Head | Refusal | null {
  const head = parseWithin(bytes, usualHeadBytes)
  return head === null && bytes.length > usualHeadBytes ? parseWithin(bytes, maxHeadBytes) : head
}

function parseWithin(bytes: Buffer, limitBytes: number): Head | Refusal | null {
  const text = bytes.toString('latin1', 0, Math.min(bytes.length, limitBytes))
  const start = startOf(text)
  const end = text.indexOf('\r\n\r\n', start)
  if (end === -1) return unfinished(text, start)
  const lineEnd = text.indexOf('\r\n', start)
  const line = parseRequestLine(text, start, lineEnd)
  if (line instanceof Refusal) return line
  const { method, path, query, isHttp10, host } = line
  const sent = headerBlock(text, lineEnd, end + 2, isHttp10)
  if (sent instanceof Refusal) return sent
  const headers = host === null ? sent : withHost(sent, host)
  return { method, path, query, isHttp10, headers, headBytes: end + 4 }
}

interface KnownBlock {
  readonly lines: string
  readonly isHttp10: boolean
  readonly headers: HeaderBlock
}

/**
 * Recently parsed header blocks. A client sends the same lines with every request, and comparing them is cheaper than
 * parsing them again.
 */
const known: (KnownBlock | undefined)[] = new Array(256).fill(undefined)
/** Long enough for the cookies of a browser. */
const maxKnownLength = 2048
/** Less than half of the secret of a token. */
const hashedStep = 16

/**
 * Returns the index of header lines in `known`, by their length and by every 16th character: lines of two clients often
 * differ in a token alone, which has one length.
 */
function knownIndex(text: string, from: number, length: number): number {
  let hash = length
  for (let i = from; i < from + length; i += hashedStep) hash = (hash * 31 + text.charCodeAt(i)) | 0
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (known.length - 1)
}

/**
 * Parses the header lines in a range of the text. The range starts with the line end before the first line and ends
 * with that of the last.
 */
function headerBlock(text: string, from: number, to: number, isHttp10: boolean): HeaderBlock | Refusal {
  const length = to - from
  if (length > maxKnownLength) return parseLines(text.slice(from, to), isHttp10)
  const index = knownIndex(text, from, length)
  const last = known[index]
  const isKnown = last !== undefined && last.isHttp10 === isHttp10 && last.lines.length === length
  if (isKnown && text.startsWith(last.lines, from)) return last.headers
  const lines = text.slice(from, to)
  const headers = parseLines(lines, isHttp10)
  if (!(headers instanceof Refusal)) known[index] = { lines, isHttp10, headers }
  return headers
}

function parseLines(lines: string, isHttp10: boolean): HeaderBlock | Refusal {
  const fields = parseFieldLines(lines, 2)
  return typeof fields === 'string' ? malformed(`the head ${fields}`) : withFraming(fields, isHttp10)
}

/** Returns the offset after empty lines before a request (RFC 9112, 2.2). */
function startOf(text: string): number {
  let start = 0
  while (text.charCodeAt(start) === 13 && text.charCodeAt(start + 1) === 10) start += 2
  return start
}

const tokenStart = /^[!#$%&'*+.^_`|~0-9A-Za-z-]/

/** Returns null while the head is incomplete, and a refusal as soon as the bytes so far cannot be a request. */
function unfinished(text: string, start: number): Refusal | null {
  const begun = text.slice(start)
  if (begun.startsWith(tlsStart)) return tlsRefusal
  if (begun !== '' && begun !== '\r' && !tokenStart.test(begun))
    return malformed('this is not an HTTP request')
  if (/(?:^|[^\r])\n/.test(begun)) return malformed('a line of the head ends with LF alone')
  const lineEnd = begun.indexOf('\r\n')
  if (lineEnd > maxLineBytes || (lineEnd === -1 && begun.length > maxLineBytes)) return targetTooLong()
  if (text.length >= maxHeadBytes) {
    return new Refusal(431, 'invalid_request', `the head of the request has more than ${maxHeadBytes} bytes`)
  }
  return null
}

/** The limit of the target with room for a method and a version. */
const maxLineBytes = maxTargetBytes + 64

function targetTooLong(): Refusal {
  return new Refusal(
    414,
    'invalid_request',
    `the target of the request has more than ${maxTargetBytes} bytes`,
  )
}

interface RequestLine {
  readonly method: string
  readonly path: string
  readonly query: string | null
  readonly isHttp10: boolean
  /** The host of a target in absolute form; null otherwise. */
  readonly host: string | null
}

const usualMethods = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS']
const methodForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/
const usualVersion = ' HTTP/1.1'
const plainForm = /^[\x21\x22\x24-\x7e]+$/
const targetForm = /^[\x21\x22\x24-\x7e\x80-\xff]+$/
const absoluteForm = /^https?:\/\/([^/?]+)(.*)$/i

function parseRequestLine(text: string, from: number, to: number): RequestLine | Refusal {
  const first = text.indexOf(' ', from)
  const isHttp11 = isAt(text, to - usualVersion.length, to, usualVersion)
  const last = isHttp11 ? to - usualVersion.length : text.lastIndexOf(' ', to)
  if (first === -1 || first >= last)
    return malformed('the request line is not a method, a target and a version')
  if (!isHttp11 && !isAt(text, last + 1, to, 'HTTP/1.0')) {
    if (!/^HTTP\/\d\.\d$/.test(text.slice(last + 1, to)))
      return malformed('the request line does not end with a version of HTTP')
    return new Refusal(505, 'invalid_request', 'this server speaks HTTP/1.1 and HTTP/1.0')
  }
  const method = methodAt(text, from, first)
  if (method === null) return malformed('the method is not one')
  const target = text.slice(first + 1, last)
  if (target.length > maxTargetBytes) return targetTooLong()
  const isPlain = plainForm.test(target)
  if (!isPlain && !targetForm.test(target))
    return malformed('the target has a space, a # or a control character')
  const decoded = isPlain ? target : utf8Text(target)
  if (decoded === null) return malformed('the target is not UTF-8')
  const absolute = decoded.startsWith('/') ? null : parseAbsolute(decoded, method)
  if (absolute === 'invalid') return malformed('the target is neither a path nor a URL')
  const origin = absolute?.origin ?? decoded
  const host = absolute?.host ?? null
  const mark = origin.indexOf('?')
  return {
    method,
    path: mark === -1 ? origin : origin.slice(0, mark),
    query: mark === -1 ? null : origin.slice(mark + 1),
    isHttp10: !isHttp11,
    host,
  }
}

/** Returns the method at a range of the text, null when malformed. Allocates no string for the usual ones. */
function methodAt(text: string, from: number, to: number): string | null {
  for (const method of usualMethods) if (isAt(text, from, to, method)) return method
  const method = text.slice(from, to)
  return methodForm.test(method) ? method : null
}

/** Decodes raw bytes of the target as UTF-8; null when they are not UTF-8. */
function utf8Text(target: string): string | null {
  const bytes = Buffer.from(target, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : null
}

interface AbsoluteTarget {
  /** Path and query. */
  readonly origin: string
  readonly host: string | null
}

/** Parses a target that is not a path: a URL, or `*`. */
function parseAbsolute(target: string, method: string): AbsoluteTarget | 'invalid' {
  if (target === '*') return method === 'OPTIONS' ? { origin: target, host: null } : 'invalid'
  const [, host, path] = absoluteForm.exec(target) ?? []
  if (host === undefined || path === undefined || !isHost(host)) return 'invalid'
  // Proxies turn `OPTIONS *` into `OPTIONS http://host` (RFC 9112, 3.2.4).
  if (path === '' && method === 'OPTIONS') return { origin: '*', host }
  return { origin: path.startsWith('/') ? path : `/${path}`, host }
}

/** Returns the headers with the host of an absolute target, which overrides the Host field (RFC 9112, 3.2.2). */
function withHost(headers: HeaderBlock, host: string): HeaderBlock {
  const fields = [...headers.fields]
  const at = fields.findIndex((name, i) => i % 2 === 0 && name === 'host')
  if (at === -1) fields.push('host', host)
  else fields[at + 1] = host
  return { ...headers, fields, passedBy: null }
}

/** Headers that may be sent only once: given twice, one parser could use the first and another the second. */
const singleHeaders = [
  'host',
  'authorization',
  'content-length',
  'content-type',
  'content-encoding',
  'content-range',
  'transfer-encoding',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'idempotency-key',
  'last-event-id',
  'expect',
] as const

const listHeaders = ['if-match', 'if-none-match', 'range'] as const

/** A header with a bit in `HeaderBlock.present`. */
export type NotedHeader = (typeof singleHeaders)[number] | (typeof listHeaders)[number]

const bits = new Map<string, number>([...singleHeaders, ...listHeaders].map((name, i) => [name, 1 << i]))
const singleBits = (1 << singleHeaders.length) - 1

/** Returns the value of `HeaderBlock.present` when exactly these headers are present. */
export function headerBits(names: readonly NotedHeader[]): number {
  return names.reduce((sum, name) => sum | bits.get(name)!, 0)
}

function withFraming(fields: readonly string[], isHttp10: boolean): HeaderBlock | Refusal {
  let present = 0
  let length: string | null = null
  let coding: string | null = null
  let expect: string | null = null
  let connection = ''
  let hasHost = false
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    const value = fields[i + 1]!
    const bit = bits.get(name) ?? 0
    if ((present & bit & singleBits) !== 0) return malformed(`the header ${name} is there twice`)
    present |= bit
    if (name === 'host') {
      if (!isHost(value)) return malformed('the Host is not a name or an address, with or without a port')
      hasHost = true
    } else if (name === 'content-length') length = value
    else if (name === 'transfer-encoding') coding = value
    else if (name === 'expect') expect = value
    else if (name === 'connection') connection += `,${value.toLowerCase()}`
  }
  if (!hasHost && !isHttp10) return malformed('a request of HTTP/1.1 has a Host')
  const bodyBytes = framing(length, coding, isHttp10)
  if (bodyBytes instanceof Refusal) return bodyBytes
  if (expect !== null && expect.toLowerCase() !== '100-continue') {
    return new Refusal(417, 'invalid_request', 'of expectations, only 100-continue is met')
  }
  return {
    fields,
    present,
    bodyBytes,
    expectsContinue: expect !== null && !isHttp10 && bodyBytes !== 0,
    closes: connection === '' ? isHttp10 : closesAfter(connection, isHttp10),
    passedBy: null,
  }
}

/** Returns the length of the body (RFC 9112, 6.3); null with chunked coding. */
function framing(length: string | null, coding: string | null, isHttp10: boolean): number | null | Refusal {
  if (coding === null) {
    if (length === null) return 0
    // Up to 16 digits; a longer number exceeds every size limit in any case.
    if (/^\d{1,16}$/.test(length)) return Number(length)
    return malformed('the Content-Length is not a number of bytes')
  }
  if (length !== null) return malformed('the request has both a Content-Length and a Transfer-Encoding')
  if (isHttp10) return malformed('HTTP/1.0 knows no Transfer-Encoding')
  if (coding.toLowerCase() === 'chunked') return null
  return new Refusal(501, 'invalid_request', 'of transfer codings, only chunked is known')
}

function closesAfter(connection: string, isHttp10: boolean): boolean {
  const options = connection.split(',').map((option) => option.trim())
  return options.includes('close') || (isHttp10 && !options.includes('keep-alive'))
}
