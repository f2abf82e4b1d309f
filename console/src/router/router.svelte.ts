import { type Address, hrefOf, parseAddress, type Query } from './address.ts'

/** The address of the page, and ways to another one. The browser's history is the only store of it. */

const current = () => parseAddress(location.pathname, location.search)

/** Asked before the page is left, for example by an editor with changes that are not saved. False keeps the page. */
type Guard = (to: Address) => boolean

class Router {
  #address: Address = $state.raw(current())
  readonly #guards = new Set<Guard>()

  constructor() {
    addEventListener('popstate', () => this.#arrive())
    document.addEventListener('click', (event) => this.#follow(event))
  }

  /** Reactive. */
  get address(): Address {
    return this.#address
  }

  get query(): Query {
    return this.#address.query
  }

  /** Goes to an address: as a step of the browser's history, or in place of the current one. */
  go(to: Address, { replace = false } = {}): void {
    if (hrefOf(to) === location.pathname + location.search) return
    if (!replace && !this.#isFree(to)) return
    history[replace ? 'replaceState' : 'pushState'](null, '', hrefOf(to))
    this.#address = current()
  }

  /** Changes parameters of the query; '' takes one away. As a person types, `replace` leaves no steps behind. */
  setQuery(changes: Query, options?: { replace?: boolean }): void {
    this.go({ ...this.#address, query: { ...this.#address.query, ...changes } }, options)
  }

  /** Asks before the page is left; returns what ends that. */
  guard(ask: Guard): () => void {
    this.#guards.add(ask)
    return () => this.#guards.delete(ask)
  }

  #isFree(to: Address): boolean {
    return [...this.#guards].every((ask) => ask(to))
  }

  #arrive(): void {
    const to = current()
    if (this.#isFree(to)) this.#address = to
    // The browser has left already: put back where the person stays.
    else history.pushState(null, '', hrefOf(this.#address))
  }

  /** Links within the console change the address without loading the page again. */
  #follow(event: MouseEvent): void {
    const link = event.target instanceof Element ? event.target.closest('a') : null
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    if (link === null || !isPlain || event.defaultPrevented) return
    if (link.origin !== location.origin || link.target !== '' || link.hasAttribute('download')) return
    const to = parseAddress(link.pathname, link.search)
    if (to.page === 'unknown') return
    event.preventDefault()
    this.go(to)
  }
}

export const router = new Router()
