import { wordsOf } from '../api/words.ts'

/** Short messages at the edge of the page about what has just been done. */

export interface Toast {
  readonly id: number
  readonly text: string
  readonly kind: 'done' | 'failed'
  /** A button, such as Undo. */
  readonly action: { readonly label: string; readonly run: () => unknown } | null
}

const shownMs = 4000
const withActionMs = 8000
const failedMs = 10_000
const maxToasts = 4

class Toasts {
  all: readonly Toast[] = $state.raw([])
  #ids = 0

  show(text: string, options: Partial<Pick<Toast, 'action' | 'kind'>> = {}): void {
    const { kind = 'done', action = null } = options
    const id = ++this.#ids
    this.all = [...this.all, { id, text, kind, action }].slice(-maxToasts)
    const durationMs = kind === 'failed' ? failedMs : action === null ? shownMs : withActionMs
    setTimeout(() => this.dismiss(id), durationMs)
  }

  /** Tells what has failed, in a person's words. */
  failed(error: unknown): void {
    const { title, advice } = wordsOf(error)
    this.show(`${title}. ${advice}`.trim(), { kind: 'failed' })
  }

  dismiss(id: number): void {
    this.all = this.all.filter((toast) => toast.id !== id)
  }
}

export const toasts = new Toasts()
