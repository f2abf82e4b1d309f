import { SvelteSet } from 'svelte/reactivity'
import { pressOf } from './keys.ts'

/** The registry of shortcuts. What is registered is what `?` shows. */

export interface Shortcut {
  /** `n`, `Mod+s`, `Escape`, or presses one after the other: `g o`. Alternatives are separated by `|`: `j|ArrowDown`. */
  readonly keys: string
  /** What it does, for the help: "Open the overview". */
  readonly does: string
  /** Works also while a person types in a field. */
  readonly inFields?: boolean
  /** False: the key was not used after all, and another shortcut, or the browser, may have it. */
  readonly run: (event: KeyboardEvent) => unknown
}

/** The shortcuts of one part of the page, under its title in the help. */
interface Group {
  readonly title: string
  readonly shortcuts: readonly Shortcut[]
}

/** Presses of a sequence may be this far apart. */
const sequenceMs = 1200

const groups = new SvelteSet<Group>()
let before = { press: '', atMs: 0 }

/** Registers shortcuts while the calling component is there. The latest registered is asked first. */
export function useShortcuts(title: string, shortcuts: () => readonly Shortcut[]): void {
  $effect(() => {
    const group = { title, shortcuts: shortcuts() }
    groups.add(group)
    return () => groups.delete(group)
  })
}

/** For the help: reactive. */
export function shortcutGroups(): readonly Group[] {
  return [...groups]
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing || isModifier(event.key)) return
  const press = pressOf(event)
  const sequence = event.timeStamp - before.atMs < sequenceMs ? `${before.press} ${press}` : press
  before = { press, atMs: event.timeStamp }
  const isTyping = isField(event.target)
  // A dialog has the keyboard to itself.
  if (document.querySelector('dialog[open]') !== null) return
  const all = [...groups].reverse().flatMap(({ shortcuts }) => shortcuts)
  // The last press of a sequence is not one of its own: `g t` comes before `t`.
  for (const meant of sequence === press ? [press] : [sequence, press]) {
    for (const { keys, inFields, run } of all) {
      if (isTyping && !inFields) continue
      if (!keys.split('|').includes(meant) || run(event) === false) continue
      event.preventDefault()
      before = { press: '', atMs: 0 }
      return
    }
  }
}

function isModifier(key: string): boolean {
  return key === 'Shift' || key === 'Control' || key === 'Alt' || key === 'Meta'
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  const isTextInput =
    target instanceof HTMLInputElement && !/^(checkbox|radio|button|range)$/.test(target.type)
  return (
    isTextInput ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    target.isContentEditable
  )
}

addEventListener('keydown', onKey)
