import { matchedTogether, maxCachedStates, maxCachedTransitions } from './limits.ts'
import { type CharacterTest, parseRegexp, type RegexpNode } from './regexp-parse.ts'

/**
 * Regular expressions in time linear in the text: the states that a backtracking search would try one after the other are
 * followed together (Thompson). Sets of states, and where they lead, are cached as the states of a deterministic
 * automaton (a "lazy DFA"). The cache is bounded: when it is full it begins anew.
 */

type Instruction =
  | { readonly type: 'class'; readonly has: CharacterTest }
  | { readonly type: 'start' | 'end' | 'accept' }
  /** Goes on at `next` and at `other`. */
  | { readonly type: 'split'; next: number; other: number }
  | { readonly type: 'jump'; next: number }

/** A set of instructions at which a search may be. */
interface State {
  /** Classes, ends and `accept`, in order. */
  readonly instructions: readonly number[]
  readonly isAccepting: boolean
  readonly isAcceptingAtEnd: boolean
  readonly ofAscii: (State | undefined)[]
  readonly ofOthers: Map<number, State>
}

/** Counts steps (limits.ts), and throws when there are too many. Of an automaton, some characters are a step, and a new state several. */
export type CountSteps = (steps: number) => void

export class Regexp {
  private readonly program: readonly Instruction[]
  private readonly isSearch: boolean
  private readonly marks: Int32Array
  private mark = 0
  private readonly initial: State
  private states = new Map<string, State>()
  private transitions = 0

  /** Throws `InvalidRegexp` for a text that is none. A search finds a part of the text; else the whole text must match. */
  constructor(pattern: string | RegexpNode, isSearch: boolean) {
    this.program = compileProgram(typeof pattern === 'string' ? parseRegexp(pattern) : pattern)
    this.isSearch = isSearch
    this.marks = new Int32Array(this.program.length)
    this.initial = this.stateOf(this.closure([0], true, false), true)
  }

  /** The size of the program. */
  get size(): number {
    return this.program.length
  }

  test(text: string, countSteps: CountSteps): boolean {
    countSteps(Math.ceil(text.length / matchedTogether))
    let state = this.initial
    const { isSearch } = this
    for (let at = 0; at < text.length; at++) {
      if (isSearch ? state.isAccepting : state.instructions.length === 0) return isSearch
      const unit = text.charCodeAt(at)
      if (unit < 0x80) {
        state = state.ofAscii[unit] ?? this.advance(state, unit, countSteps)
      } else {
        const code = text.codePointAt(at)!
        if (code > 0xffff) at++
        state = state.ofOthers.get(code) ?? this.advance(state, code, countSteps)
      }
    }
    return state.isAcceptingAtEnd
  }

  /** Finds where a state leads, and keeps it. */
  private advance(state: State, code: number, countSteps: CountSteps): State {
    countSteps(state.instructions.length)
    const next: number[] = this.isSearch ? [0] : []
    for (const at of state.instructions) {
      const instruction = this.program[at]!
      if (instruction.type === 'class' && instruction.has(code)) next.push(at + 1)
    }
    const instructions = this.closure(next, false, false)
    countSteps(instructions.length)
    const key = instructions.join()
    let found = this.states.get(key)
    if (found === undefined) {
      if (this.states.size >= maxCachedStates) this.clearCache()
      found = this.stateOf(instructions, false)
      this.states.set(key, found)
    }
    if (++this.transitions > maxCachedTransitions) this.clearCache()
    if (code < 0x80) state.ofAscii[code] = found
    else state.ofOthers.set(code, found)
    return found
  }

  private clearCache(): void {
    this.states = new Map()
    this.transitions = 0
    this.initial.ofAscii.length = 0
    this.initial.ofOthers.clear()
  }

  private stateOf(instructions: readonly number[], isAtStart: boolean): State {
    const atEnd = this.closure(instructions, isAtStart, true)
    return {
      instructions,
      isAccepting: this.isAccepting(instructions),
      isAcceptingAtEnd: this.isAccepting(atEnd),
      ofAscii: [],
      ofOthers: new Map(),
    }
  }

  private isAccepting(instructions: readonly number[]): boolean {
    return instructions.some((at) => this.program[at]!.type === 'accept')
  }

  /** Returns the instructions that wait for a character, for the end or for nothing, after those that wait for neither. */
  private closure(from: readonly number[], isAtStart: boolean, isAtEnd: boolean): number[] {
    const mark = ++this.mark
    const found: number[] = []
    const stack = [...from]
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (this.marks[at] === mark) continue
      this.marks[at] = mark
      const instruction = this.program[at]!
      const { type } = instruction
      if (type === 'split') stack.push(instruction.next, instruction.other)
      else if (type === 'jump') stack.push(instruction.next)
      else if (type === 'start' ? isAtStart : type === 'end' && isAtEnd) stack.push(at + 1)
      else if (type !== 'start') found.push(at)
    }
    return found.sort((a, b) => a - b)
  }
}

function compileProgram(node: RegexpNode): Instruction[] {
  const program: Instruction[] = []
  emit(program, node)
  program.push({ type: 'accept' })
  return program
}

function emit(program: Instruction[], node: RegexpNode): void {
  switch (node.type) {
    case 'empty':
      return
    case 'sequence':
      for (const part of node.parts) emit(program, part)
      return
    case 'choice':
      emitChoice(program, node.parts)
      return
    case 'repeat':
      emitRepeat(program, node.part, node.min, node.max)
      return
    default:
      program.push(node)
  }
}

function emitChoice(program: Instruction[], parts: readonly RegexpNode[]): void {
  const jumps: { next: number }[] = []
  for (const [i, part] of parts.entries()) {
    const isLast = i === parts.length - 1
    const split = { type: 'split' as const, next: program.length + 1, other: 0 }
    if (!isLast) program.push(split)
    emit(program, part)
    if (isLast) break
    const jump = { type: 'jump' as const, next: 0 }
    program.push(jump)
    jumps.push(jump)
    split.other = program.length
  }
  for (const jump of jumps) jump.next = program.length
}

function emitRepeat(program: Instruction[], part: RegexpNode, min: number, max: number): void {
  for (let i = 0; i < min; i++) emit(program, part)
  const splits: { other: number }[] = []
  const copies = Number.isFinite(max) ? max - min : 1
  const start = program.length
  for (let i = 0; i < copies; i++) {
    const split = { type: 'split' as const, next: program.length + 1, other: 0 }
    program.push(split)
    splits.push(split)
    emit(program, part)
  }
  if (!Number.isFinite(max)) program.push({ type: 'jump', next: start })
  for (const split of splits) split.other = program.length
}
