/**
 * Counts the rounds of a loop that ends only when what it tests is right, and throws with the loop's name when there are
 * too many. Loops that never leave the tick need it: no time limit ends them.
 */
export function stepLimit(loop: string, maxSteps = 10_000): () => void {
  let steps = 0
  return () => {
    if (++steps > maxSteps) throw new Error(`${loop} has not ended after ${maxSteps} rounds`)
  }
}
