import { SvelteSet } from 'svelte/reactivity'

/** The members that are selected in a list: some by their keys, or all that the list selects. */
export class Selected {
  readonly keys = new SvelteSet<string>()
  /** All that match, also those that are not loaded. */
  isAll: boolean = $state(false)
  /** Where a range begins. */
  anchor: string | null = null

  get isEmpty(): boolean {
    return !this.isAll && this.keys.size === 0
  }

  has(key: string): boolean {
    return this.isAll || this.keys.has(key)
  }

  toggle(key: string): void {
    if (this.isAll) this.clear()
    if (!this.keys.delete(key)) this.keys.add(key)
    this.anchor = key
  }

  add(keys: Iterable<string>): void {
    for (const key of keys) this.keys.add(key)
  }

  selectAll(): void {
    this.clear()
    this.isAll = true
  }

  clear(): void {
    this.isAll = false
    this.keys.clear()
    this.anchor = null
  }
}
