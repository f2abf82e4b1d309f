import { skipSpace } from '../json/scan.ts'
import { CostlyFilter } from './errors.ts'
import { maxSteps, readTogether } from './limits.ts'
import { ValueTree } from './value-tree.ts'

/** The state of evaluating a filter on one value. */
export class Evaluation {
  text = ''
  /** The value in the tree that `@` is in a nested filter. */
  value = 0
  private readonly builtTree = new ValueTree()
  private isBuilt = false
  private left = 0

  begin(text: string): void {
    this.text = text
    this.left = maxSteps(text.length)
    this.isBuilt = false
  }

  /** Lets go of the text, and of the memory of a large tree. */
  end(): void {
    this.text = ''
    if (this.isBuilt) this.builtTree.release()
  }

  /** The values in the text. They are found when a query first needs them. */
  get tree(): ValueTree {
    if (!this.isBuilt) {
      this.builtTree.build(this.text, skipSpace(this.text, 0), this.countSteps)
      this.isBuilt = true
    }
    return this.builtTree
  }

  /** Throws `CostlyFilter` when the steps are used up. */
  readonly countSteps = (steps: number): void => {
    this.left -= steps
    if (this.left >= 0) return
    const limit = maxSteps(this.text.length)
    throw new CostlyFilter(`the filter takes more than ${limit} steps on a value of this size`, limit)
  }

  /** Counts the characters of text that is read on end. */
  countReading(characters: number): void {
    this.countSteps(Math.ceil(characters / readTogether))
  }
}
