import type { Kvist } from '../../sdk/client.ts'
import type { Target } from './peer.ts'

/** How long a target may take for one batch. */
const usualTimeoutMs = 30_000

/** Returns a target that is reached over HTTP. The peer itself repeats what fails. */
export function httpTarget(kvist: Kvist, nodeId: string, timeoutMs = usualTimeoutMs): Target {
  return {
    url: kvist.url,
    send: (lines, signal) => kvist.nodes.replicate(lines, nodeId, { signal, timeoutMs, retries: 0 }),
  }
}
