/**
 * Resolves in the next tick of the event loop. Long work awaits it between its parts, so that other work is done in
 * between.
 */
export function nextTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
