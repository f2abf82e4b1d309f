import type { Need } from '../support/needs.ts'
import type { Random } from '../support/random.ts'

/** One kind of trouble that a server is put through. A round ends by itself and throws with what was wrong. */
export interface Fault {
  readonly name: string
  readonly does: string
  /** What the machine must have for it. */
  readonly needs?: Need
  /** Works for about `budgetMs`; resolves with what it counted. */
  round(round: Round): Promise<Figures>
}

export interface Round {
  /** Decides everything that chance decides. */
  readonly random: Random
  readonly budgetMs: number
}

/** Counted in a round, by name; rounds of one fault are added up. */
export type Figures = Readonly<Record<string, number>>

/** Calls `work` again and again until the time is over, once at least. */
export async function repeatFor(budgetMs: number, work: () => Promise<void>): Promise<number> {
  const endAtMs = performance.now() + budgetMs
  let times = 0
  do {
    await work()
    times++
  } while (performance.now() < endAtMs)
  return times
}
