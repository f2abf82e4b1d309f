import type { Kvist } from '../../sdk/client.ts'
import type { Received, SentPosition, Target } from './peer.ts'

/** How long a target may take for one batch, and how much longer for its size: a slow line must come to an end, too. */
const usualTimeoutMs = 30_000
const slowestBytesPerMs = 100

/**
 * Returns a target that is reached over HTTP. The peer itself repeats what fails. `asksToBridge`: whether the target is asked
 * to pass on what it gets to its own targets; it is not said if left out.
 */
export function httpTarget(
  kvist: Kvist,
  nodeId: string,
  timeoutMs = usualTimeoutMs,
  asksToBridge?: boolean,
): Target {
  return {
    url: kvist.url,
    async send(lines, signal, knows, position) {
      const sizeMs = Math.ceil(lines.length / slowestBytesPerMs)
      const options = {
        signal,
        timeoutMs: timeoutMs + sizeMs,
        retries: 0,
        bridge: asksToBridge,
        knows: knows ?? undefined,
        ...(position === undefined ? {} : headersOf(position)),
      }
      const received: unknown = await kvist.nodes.replicate(lines, nodeId, options)
      if (isReceived(received)) return withPosition(received)
      throw new Error(`what responds at ${kvist.url} is not a node`)
    },
  }
}

function withPosition(received: Received): Received {
  const { position } = received
  return typeof position === 'string' ? { ...received, position: decodeURIComponent(position) } : received
}

/** A cursor is opaque, and may have any characters. */
function headersOf({ to, after }: SentPosition): { readonly position: string; readonly after?: string } {
  const position = encodeURIComponent(to)
  return after === null ? { position } : { position, after: encodeURIComponent(after) }
}

/** Another server at the address of a target must not pass for it: what it seems to have stored would not be sent again. */
function isReceived(given: unknown): given is Received {
  const { node, failed } = Object(given) as Record<string, unknown>
  return typeof node === 'string' && node !== '' && Array.isArray(failed) && failed.every(isFailure)
}

function isFailure(given: unknown): boolean {
  const { line, code, detail } = Object(given) as Record<string, unknown>
  return typeof line === 'number' && typeof code === 'string' && typeof detail === 'string'
}
