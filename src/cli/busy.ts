import { setTimeout as sleep } from 'node:timers/promises'
import { type Collection, type ImportSummary, KvistHttpError } from '../../sdk/client.ts'

/** Tries of one request while the server is busy. */
const maxTries = 20

/** Sends lines of an import, and again while the server is busy. */
export function sendLines(
  collection: Collection<unknown>,
  lines: Uint8Array<ArrayBuffer>,
): Promise<ImportSummary> {
  return whileBusy(() => collection.importLines(lines))
}

/** Sends a request, and again while the server is busy, after the pause that it requests. */
export async function whileBusy<Result>(send: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await send()
    } catch (error) {
      const isBusy = error instanceof KvistHttpError && (error.status === 429 || error.status === 503)
      if (!isBusy || tries === maxTries) throw error
      await sleep((error.retryAfterSeconds ?? 1) * 1000)
    }
  }
}
