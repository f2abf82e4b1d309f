import type { Kvist } from '../../sdk/client.ts'
import type { Target } from './peer.ts'

/** How long a target may take for one batch, and how much longer for its size: a slow line must come to an end, too. */
const usualTimeoutMs = 30_000
const slowestBytesPerMs = 100

/** Returns a target that is reached over HTTP. The peer itself repeats what fails. */
export function httpTarget(kvist: Kvist, nodeId: string, timeoutMs = usualTimeoutMs): Target {
  return {
    url: kvist.url,
    send(lines, signal) {
      const sizeMs = Math.ceil(lines.length / slowestBytesPerMs)
      return kvist.nodes.replicate(lines, nodeId, { signal, timeoutMs: timeoutMs + sizeMs, retries: 0 })
    },
  }
}
