import { toasts } from './toasts.svelte.ts'

/** Copies a text and says so. Over plain HTTP beyond this machine browsers have no clipboard: a selection is the way then. */
export async function copyText(text: string, said = 'Copied'): Promise<void> {
  try {
    if (navigator.clipboard === undefined) copyBySelection(text)
    else await navigator.clipboard.writeText(text)
    toasts.show(said)
  } catch {
    toasts.show('The browser did not allow to copy')
  }
}

function copyBySelection(text: string): void {
  const area = document.createElement('textarea')
  area.value = text
  // Within a modal dialog nothing outside of it can be selected.
  const parent = document.querySelector('dialog[open]') ?? document.body
  parent.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}
