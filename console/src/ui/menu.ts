import type { IconName } from './icons.ts'

/** An action of a Menu. */
export interface MenuItem {
  readonly label: string
  readonly icon?: IconName
  /** At its end: a key, or what it would act on. */
  readonly hint?: string
  readonly isDanger?: boolean
  readonly isDisabled?: boolean
  readonly run: () => unknown
}
