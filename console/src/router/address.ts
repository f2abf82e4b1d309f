/** Addresses of the console: pure, in both directions. Every state that a person can come to has one. */

/** What the address selects and orders in a list, as its query has it: prefix, view and so on. */
export type Query = Readonly<Record<string, string>>

export type OtherPage = 'overview' | 'tokens' | 'transfer' | 'requests'

export type Address =
  | { readonly page: 'collections'; readonly query: Query }
  /** The list of a collection, with a member open beside it unless the key is null. */
  | {
      readonly page: 'members'
      readonly collection: string
      readonly key: string | null
      readonly query: Query
    }
  | { readonly page: 'settings'; readonly collection: string; readonly query: Query }
  | { readonly page: OtherPage; readonly query: Query }
  | { readonly page: 'unknown'; readonly query: Query }

const base = '/console'
const otherPages: ReadonlySet<string> = new Set<OtherPage>(['overview', 'tokens', 'transfer', 'requests'])

/** Returns the address of a URL's path and query. What is malformed is `unknown`. */
export function parseAddress(path: string, search: string): Address {
  const query = Object.fromEntries(new URLSearchParams(search))
  const unknown: Address = { page: 'unknown', query }
  if (path === base || path === `${base}/`) return { page: 'collections', query }
  const [page, name, view, ...rest] = path.slice(base.length + 1).split('/')
  if (page === undefined || !path.startsWith(`${base}/`)) return unknown
  if (isOtherPage(page) && name === undefined) return { page, query }
  const collection = decoded(name)
  if (page !== 'c' || collection === null || collection === '') return unknown
  if (view === undefined || view === '') return { page: 'members', collection, key: null, query }
  if (view === 'settings' && rest.length === 0) return { page: 'settings', collection, query }
  if (view !== 'm') return unknown
  const { key: stepKey, ...others } = query
  const key = rest.join('/') === '' ? (stepKey ?? null) : decoded(rest.join('/'))
  return key === null
    ? unknown
    : { page: 'members', collection, key, query: rest.join('/') === '' ? others : query }
}

/** Returns the path and query of an address. */
export function hrefOf(address: Address): string {
  const parameters = new URLSearchParams(Object.entries(address.query).filter(([, value]) => value !== ''))
  const path = pathOf(address, parameters)
  return parameters.size === 0 ? path : `${path}?${parameters}`
}

/** Returns the path; a key that a path cannot carry is added to the parameters. */
function pathOf(address: Address, parameters: URLSearchParams): string {
  if (address.page === 'collections' || address.page === 'unknown') return `${base}/`
  if (address.page === 'settings') return `${collectionPath(address.collection)}/settings`
  if (address.page !== 'members') return `${base}/${address.page}`
  const list = collectionPath(address.collection)
  if (address.key === null) return list
  // URL parsers resolve a path segment that is `.` or `..`, also an escaped one.
  if (isStep(address.key)) {
    parameters.set('key', address.key)
    return `${list}/m/`
  }
  return `${list}/m/${encodedKey(address.key)}`
}

function collectionPath(collection: string): string {
  return `${base}/c/${encodeURIComponent(collection)}`
}

/** Slashes stay readable, unless a segment between them is empty or one that URL parsers resolve. */
function encodedKey(key: string): string {
  const segments = key.split('/')
  const isPlain = segments.every((segment) => segment !== '' && !isStep(segment))
  return isPlain ? segments.map(encodeURIComponent).join('/') : encodeURIComponent(key)
}

function isStep(segment: string): boolean {
  return segment === '.' || segment === '..'
}

function isOtherPage(page: string): page is OtherPage {
  return otherPages.has(page)
}

function decoded(text: string | undefined): string | null {
  try {
    return text === undefined ? null : decodeURIComponent(text)
  } catch {
    return null
  }
}
