/** Something of a store that is not as it should be. */
export interface StoreFinding {
  /** A table of `kvist.db`, or a file. */
  readonly where: string
  /** A clause that says what is wrong. */
  readonly what: string
  readonly collection?: string
  readonly key?: string
  readonly revision?: number
  /** Of `kvist.db`. */
  readonly page?: number
}

/** The most findings that are kept; the others are counted. */
const maxFindings = 10_000

/** Collects findings in bounded memory. */
export class Findings {
  readonly list: StoreFinding[] = []
  /** Findings that are not in the list. */
  leftOut = 0
  /** Damaged rows and pages have members; those are named once. */
  private readonly members = new Set<string>()

  add(finding: StoreFinding): void {
    if (finding.collection !== undefined && finding.key !== undefined)
      this.members.add(memberName(finding.collection, finding.key))
    if (this.list.length < maxFindings) this.list.push(finding)
    else this.leftOut++
  }

  /** Adds what follows from damage, unless something of that member was found already. */
  addConsequence(finding: StoreFinding): void {
    const { collection, key } = finding
    if (collection !== undefined && key !== undefined && this.members.has(memberName(collection, key))) return
    this.add(finding)
  }

  get count(): number {
    return this.list.length + this.leftOut
  }
}

function memberName(collection: string, key: string): string {
  return JSON.stringify([collection, key])
}
