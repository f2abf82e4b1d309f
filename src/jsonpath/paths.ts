import { eachElement, eachMember, isName, openBrace, openBracket, skipSpace, valueEnd } from '../json/scan.ts'

/**
 * Finds the values at several paths in one pass over JSON text. Values are named by the offsets where they begin. Of
 * members with the same name the last counts, as in `JSON.parse`.
 */
export class PathFinder {
  private readonly root: PathStep = newStep()
  private readonly all: PathStep[] = [this.root]

  /** Adds a path, and returns what finds its value; the same for equal paths. */
  add(path: readonly (string | number)[]): PathStep {
    let step = this.root
    for (const segment of path) {
      const next = typeof segment === 'string' ? step.names : step.indexes
      let child = next.find((one) => one.segment === segment)
      if (child === undefined) {
        child = newStep(segment)
        this.all.push(child)
        next.push(child)
        step.isLeaf = false
      }
      step = child
    }
    step.isWanted = true
    return step
  }

  /** Sets `start` of the steps of all paths. */
  find(text: string): void {
    for (const step of this.all) step.start = -1
    walk(text, skipSpace(text, 0), this.root)
  }
}

/** A name or an index on the way of one path or several. */
export interface PathStep {
  readonly segment: string | number
  readonly names: PathStep[]
  readonly indexes: PathStep[]
  /** No path goes on from here. */
  isLeaf: boolean
  /** A path ends here. */
  isWanted: boolean
  /** Where the value begins in the text that was searched last; -1 if there is nothing. */
  start: number
}

function newStep(segment: string | number = ''): PathStep {
  return { segment, names: [], indexes: [], isLeaf: true, isWanted: false, start: -1 }
}

/** Finds what lies below a step in the value at `start`, and returns where that value ends. */
function walk(text: string, start: number, step: PathStep): number {
  step.start = start
  if (step.isLeaf) return valueEnd(text, start)
  const first = text.charCodeAt(start)
  if (first === openBrace && step.names.length > 0) return walkObject(text, start, step.names)
  if (first === openBracket && step.indexes.length > 0) return walkArray(text, start, step.indexes)
  return valueEnd(text, start)
}

function walkObject(text: string, open: number, steps: readonly PathStep[]): number {
  return eachMember(text, open, (nameStart, nameEnd, start) => {
    for (const step of steps) {
      if (!isName(text, nameStart, nameEnd, String(step.segment))) continue
      if (step.start !== -1) forget(step)
      return walk(text, start, step)
    }
    return valueEnd(text, start)
  })
}

/** A repeated name replaces what was found below its first value. */
function forget(step: PathStep): void {
  step.start = -1
  for (const next of step.names) forget(next)
  for (const next of step.indexes) forget(next)
}

function walkArray(text: string, open: number, steps: readonly PathStep[]): number {
  const starts: number[] = []
  const counted = steps.some(({ segment }) => Number(segment) < 0)
  let index = 0
  const end = eachElement(text, open, (start) => {
    if (counted) starts.push(start)
    const step = steps.find(({ segment }) => segment === index)
    index++
    return step === undefined ? valueEnd(text, start) : walk(text, start, step)
  })
  if (!counted) return end
  for (const step of steps) {
    const start = Number(step.segment) < 0 ? starts.at(Number(step.segment)) : undefined
    if (start !== undefined) walk(text, start, step)
  }
  return end
}
