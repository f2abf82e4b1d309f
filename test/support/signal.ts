/** A signal that counts what listens to it; a listener that an abort has called counts as gone. */
export function countingSignal() {
  const controller = new AbortController()
  const { signal } = controller
  const listening = new Set<unknown>()
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    listening.add(given[1])
    add(...given)
  }
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    listening.delete(given[1])
    remove(...given)
  }
  signal.onabort = () => listening.clear()
  return { controller, signal, listeners: () => listening.size }
}
