import type { Held } from './held.ts'

/** What a request to the origin for a member led to: a response that all who wait for it share, or one for a single client. */
export type Loaded = { readonly held: Held; readonly forwardStatus: number } | { readonly response: Response }

/** A request for a member that is on its way to the origin. */
export interface Load {
  readonly authorization: string
  readonly result: Promise<Loaded>
  /** Aborts it. */
  abort(): void
  /** An older state than this must not be held: a later change is known. */
  minRevision: number
  /** Later readers must not share it: they may know of a later state than it shows. */
  isClosed: boolean
}

/** The requests for members that are on their way, by member. Readers with the same credentials share one. */
export class Loads {
  private readonly byMember = new Map<string, Load[]>()

  /** Returns a request that a new reader may share. */
  find(member: string, authorization: string): Load | undefined {
    return this.byMember.get(member)?.find((load) => !load.isClosed && load.authorization === authorization)
  }

  add(member: string, load: Load): void {
    const loads = this.byMember.get(member)
    if (loads === undefined) this.byMember.set(member, [load])
    else loads.push(load)
  }

  remove(member: string, load: Load): void {
    const loads = this.byMember.get(member)?.filter((one) => one !== load) ?? []
    if (loads.length === 0) this.byMember.delete(member)
    else this.byMember.set(member, loads)
  }

  /** Notes a change: requests that were sent before do not serve new readers, and their results are held only if they have it. */
  changed(member: string, revision: number): void {
    for (const load of this.byMember.get(member) ?? []) {
      load.isClosed = true
      load.minRevision = Math.max(load.minRevision, revision)
    }
  }

  /** Later readers share none of the requests that were sent before. */
  closeAll(): void {
    for (const loads of this.byMember.values()) for (const load of loads) load.isClosed = true
  }

  abortAll(): void {
    for (const loads of this.byMember.values()) for (const load of loads) load.abort()
  }
}
