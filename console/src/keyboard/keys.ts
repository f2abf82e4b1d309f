/** How shortcuts are written, compared with key presses, and shown. */

/** Keys of one press as a text: `a`, `?`, `Escape`, `ArrowDown`, `Mod+s`, `Mod+Enter`. Mod is Command on a Mac, else Ctrl. */
export function pressOf(event: KeyboardEvent): string {
  const mod = isMac ? event.metaKey : event.ctrlKey
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  const shift = event.shiftKey && (event.key.length > 1 || mod) ? 'Shift+' : ''
  // A capital letter is written as one: `N` is Shift and n.
  return `${mod ? 'Mod+' : ''}${event.altKey ? 'Alt+' : ''}${shift}${shift === '' && event.shiftKey ? event.key : key}`
}

const names: Readonly<Record<string, string>> = {
  ArrowUp: '↑',
  ArrowDown: '↓',
  ArrowLeft: '←',
  ArrowRight: '→',
  Escape: 'Esc',
  Backspace: '⌫',
  Delete: 'Del',
  ' ': 'Space',
}

const isMac = /Mac|iPhone|iPad/.test(navigator.platform)

/** The caps to show for a shortcut: `g o` has two, `Mod+s` has two. */
export function capsOf(keys: string): string[] {
  return (keys === ' ' ? [keys] : keys.split(' ')).flatMap((press) => press.split(/(?<=.)\+/).map(capOf))
}

function capOf(key: string): string {
  if (key === 'Mod') return isMac ? '⌘' : 'Ctrl'
  return names[key] ?? (key.length === 1 ? key.toUpperCase() : key)
}
