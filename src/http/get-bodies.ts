/**
 * Bun.serve drops the body of a GET, and TenantBase's clients send the key in one. Where they are served, a front stands
 * before the server and hands every byte on as it is, but for the method of such a GET: to the server it is a POST.
 *
 * So the front has to know where in the bytes of a connection each request begins, and nothing else. Whatever is not
 * plain (a malformed head, both kinds of length, an upgrade) it hands on untouched with all that follows: the server
 * refuses it or makes of it what it will.
 */

/** The server's own limit for a head. */
const maxHeadBytes = 16 * 1024
/** The size of a chunk with its extensions, and a trailer. */
const maxLineBytes = 4096

type Step =
  | { readonly in: 'head'; readonly held: Buffer }
  | { readonly in: 'body'; readonly left: number; readonly chunked: boolean }
  /** A line of the chunked coding: the size of a chunk, or a trailer. */
  | { readonly in: 'line'; readonly line: string; readonly trailer: boolean }
  | { readonly in: 'rest' }

const newHead: Step = { in: 'head', held: Buffer.alloc(0) }
const rest: Step = { in: 'rest' }

/** Takes the bytes of one connection in their order, and gives those that the server is to see. */
export function getBodyRewriter(paths: ReadonlySet<string>): (part: Buffer) => Buffer[] {
  let step: Step = newHead
  return (part) => {
    const out: Buffer[] = []
    let left = part
    while (left.length > 0) {
      const [next, given, remaining] = advance(step, left, paths)
      step = next
      if (given.length > 0) out.push(given)
      left = remaining
    }
    return out
  }
}

type Advanced = readonly [next: Step, given: Buffer, remaining: Buffer]

function advance(step: Step, part: Buffer, paths: ReadonlySet<string>): Advanced {
  if (step.in === 'head') return advanceHead(step.held, part, paths)
  if (step.in === 'line') return advanceLine(step, part)
  if (step.in === 'rest') return [rest, part, part.subarray(part.length)]
  const taken = Math.min(step.left, part.length)
  const left = step.left - taken
  // A chunk ends with a line that is empty.
  const after: Step = step.chunked ? { in: 'line', line: '', trailer: false } : newHead
  return [left > 0 ? { ...step, left } : after, part.subarray(0, taken), part.subarray(taken)]
}

function advanceHead(held: Buffer, part: Buffer, paths: ReadonlySet<string>): Advanced {
  const bytes = held.length === 0 ? part : Buffer.concat([held, part])
  const end = bytes.indexOf('\r\n\r\n')
  const none = part.subarray(part.length)
  if (end === -1) {
    // The server answers a bare line feed with 400; waiting for the rest of such a head would be for ever.
    const isOdd = bytes.length > maxHeadBytes || /(?:^|[^\r])\n/.test(bytes.toString('latin1'))
    return isOdd ? [rest, bytes, none] : [{ in: 'head', held: Buffer.from(bytes) }, none, none]
  }
  const head = bytes.subarray(0, end + 4)
  const remaining = bytes.subarray(end + 4)
  const { method, path, next } = readHead(head.toString('latin1'))
  if (method !== 'GET' || next.in === 'head' || next.in === 'rest' || !paths.has(path)) {
    return [next, head, remaining]
  }
  return [next, Buffer.concat([Buffer.from('POST'), head.subarray('GET'.length)]), remaining]
}

interface Head {
  readonly method: string
  /** Not decoded, without the query. */
  readonly path: string
  /** What follows the head. */
  readonly next: Step
}

function readHead(text: string): Head {
  const [requestLine = '', ...lines] = text.slice(0, -4).split('\r\n')
  const [, method = '', target = ''] = /^([A-Z]+) (\S+) HTTP\/1\.[01]$/.exec(requestLine) ?? []
  const path = target.split('?', 1)[0] ?? ''
  const lengths: string[] = []
  const codings: string[] = []
  for (const line of lines) {
    const [, name, value = ''] = /^([^\s:]+):[ \t]*([^\r\n]*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined) return { method, path, next: rest }
    if (name.toLowerCase() === 'content-length') lengths.push(value)
    else if (name.toLowerCase() === 'transfer-encoding') codings.push(value.toLowerCase())
    else if (name.toLowerCase() === 'upgrade') return { method, path, next: rest }
  }
  return { method, path, next: method === '' || method === 'CONNECT' ? rest : bodyOf(lengths, codings) }
}

function bodyOf(lengths: readonly string[], codings: readonly string[]): Step {
  if (lengths.length === 0 && codings.length === 0) return newHead
  if (codings.length === 1 && lengths.length === 0) {
    return codings[0] === 'chunked' ? { in: 'line', line: '', trailer: false } : rest
  }
  const [length = ''] = lengths
  if (codings.length > 0 || lengths.length > 1 || !/^\d{1,15}$/.test(length)) return rest
  return Number(length) === 0 ? newHead : { in: 'body', left: Number(length), chunked: false }
}

function advanceLine({ line, trailer }: Step & { in: 'line' }, part: Buffer): Advanced {
  const end = part.indexOf('\n')
  const taken = end === -1 ? part.length : end + 1
  const text = line + part.toString('latin1', 0, taken)
  return [afterLine(text, end !== -1, trailer), part.subarray(0, taken), part.subarray(taken)]
}

function afterLine(text: string, isWhole: boolean, trailer: boolean): Step {
  if (text.length > maxLineBytes) return rest
  if (!isWhole) return { in: 'line', line: text, trailer }
  if (!text.endsWith('\r\n')) return rest
  if (trailer) return text === '\r\n' ? newHead : { in: 'line', line: '', trailer: true }
  // The line that ends a chunk; the size of the next one follows.
  if (text === '\r\n') return { in: 'line', line: '', trailer: false }
  const [, size] = /^([0-9a-fA-F]{1,12})[ \t]*(?:;[^\n]*)?\r\n$/.exec(text) ?? []
  if (size === undefined) return rest
  const left = Number.parseInt(size, 16)
  return left === 0 ? { in: 'line', line: '', trailer: true } : { in: 'body', left, chunked: true }
}
