import { connect } from 'node:net'

/** A response as it came over the wire; header names in lower case. */
export interface RawReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * Sends bytes as they are, which `fetch` would put in order first, and reads until the server closes. `Connection:
 * close` in the request makes it do so after one response. Null when it closes without one. `from` is the address of the client.
 */
export function sendRaw(
  port: number,
  request: string | Uint8Array,
  from = '127.0.0.1',
): Promise<RawReply | null> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', localAddress: from }, () => socket.write(request))
    socket.setTimeout(20_000, () =>
      socket.destroy(new Error(`no response to ${String(request).slice(0, 200)}`)),
    )
    socket.on('data', (part: Buffer) => parts.push(part))
    // A server that refuses may close while the rest of the request is on its way.
    socket.on('error', (error) => (parts.length > 0 ? undefined : reject(error)))
    socket.on('close', () => resolve(parseReply(Buffer.concat(parts).toString('latin1'))))
  })
}

function parseReply(text: string): RawReply | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  )
  return { status: Number(first.split(' ')[1]), headers, body: text.slice(end + 4) }
}
