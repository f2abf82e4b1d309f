/** Lets everything else that waits have its turn: long work is done in parts with this between them. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
