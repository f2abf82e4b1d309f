/**
 * A linearizability checker after Wing and Gong, with Lowe's memory of states already tried: is there an order of the
 * operations, each at one moment between its call and its return, in which every result is what the model says?
 */
export interface Operation<State> {
  readonly calledAt: number
  /** Infinity where no response came: the operation may take effect at any later moment, or never. */
  readonly returnedAt: number
  /** The state after it, or null where its result cannot come from this state. */
  step(state: State): State | null
  /** For the message when there is no such order. */
  readonly label: string
}

export type Verdict =
  | { readonly ok: true }
  /** `stuckAt`: the operations of which none can come next on the longest order that was found. */
  | { readonly ok: false; readonly ordered: number; readonly stuckAt: readonly string[] }

interface Frame<State> {
  readonly state: State
  /** Operations that may come next, and which of them is tried now. */
  readonly candidates: readonly number[]
  next: number
  /** What was put in order to come here; -1 at the start. */
  readonly taken: number
}

/** `keyOf` distinguishes states. Throws when more than `maxStates` were tried, which is no verdict. */
export function checkLinearizable<State>(
  operations: readonly Operation<State>[],
  initial: State,
  keyOf: (state: State) => string,
  maxStates = 5_000_000,
): Verdict {
  const sorted = [...operations].sort((a, b) => a.calledAt - b.calledAt)
  const isOrdered = new Uint8Array(sorted.length)
  const seen = new Set<string>()
  let orderedCount = 0
  let best = { ordered: -1, stuckAt: [] as string[] }
  const stack: Frame<State>[] = [frameOf(initial, -1)]

  function frameOf(state: State, taken: number): Frame<State> {
    return { state, candidates: candidatesOf(sorted, isOrdered), next: 0, taken }
  }

  while (stack.length > 0) {
    const frame = stack[stack.length - 1]!
    if (frame.next === 0) {
      if (!frame.candidates.some((i) => sorted[i]!.returnedAt !== Number.POSITIVE_INFINITY))
        return { ok: true }
      if (orderedCount > best.ordered) {
        best = { ordered: orderedCount, stuckAt: frame.candidates.map((i) => sorted[i]!.label) }
      }
    }
    const candidate = frame.candidates[frame.next++]
    if (candidate === undefined) {
      stack.pop()
      if (frame.taken !== -1) {
        isOrdered[frame.taken] = 0
        orderedCount--
      }
      continue
    }
    const state = sorted[candidate]!.step(frame.state)
    if (state === null) continue
    isOrdered[candidate] = 1
    const visited = `${orderedKey(sorted, isOrdered)}|${keyOf(state)}`
    if (seen.has(visited)) {
      isOrdered[candidate] = 0
      continue
    }
    seen.add(visited)
    if (seen.size > maxStates) throw new Error(`no verdict after ${maxStates} states`)
    orderedCount++
    stack.push(frameOf(state, candidate))
  }
  return { ok: false, ...best }
}

/** Operations that were called before any that is still open returned. */
function candidatesOf<State>(sorted: readonly Operation<State>[], isOrdered: Uint8Array): number[] {
  const candidates: number[] = []
  let firstReturn = Number.POSITIVE_INFINITY
  for (let i = 0; i < sorted.length; i++) {
    const { calledAt, returnedAt } = sorted[i]!
    if (calledAt > firstReturn) break
    if (isOrdered[i] === 1) continue
    candidates.push(i)
    firstReturn = Math.min(firstReturn, returnedAt)
  }
  return candidates
}

/** The first operation that has to be put in order still, and what is in order or left out beyond it. */
function orderedKey<State>(sorted: readonly Operation<State>[], isOrdered: Uint8Array): string {
  let first = 0
  while (first < sorted.length && (isOrdered[first] === 1 || isUnknown(sorted[first]!))) first++
  let key = `${first}`
  for (let i = 0; i < first; i++) if (isUnknown(sorted[i]!) && isOrdered[i] === 1) key += `,${i}`
  // What was ordered beyond the first open one was called before that one returned: few.
  for (let i = first; i < sorted.length && sorted[i]!.calledAt <= sorted[first]!.returnedAt; i++)
    if (isOrdered[i] === 1) key += `,${i}`
  return key
}

function isUnknown({ returnedAt }: { readonly returnedAt: number }): boolean {
  return returnedAt === Number.POSITIVE_INFINITY
}
