import type { OtherPage } from '../router/address.ts'
import type { IconName } from '../ui/icons.ts'

/** The pages besides collections, in the order of the navigation. `g` and the key lead to one. */
export const otherPages: readonly {
  readonly page: OtherPage
  readonly title: string
  readonly icon: IconName
  readonly key: string
}[] = [
  { page: 'overview', title: 'Overview', icon: 'chart', key: 'o' },
  { page: 'tokens', title: 'Tokens', icon: 'key', key: 't' },
  { page: 'transfer', title: 'Import and export', icon: 'arrows', key: 'i' },
  { page: 'requests', title: 'Requests', icon: 'terminal', key: 'r' },
]
