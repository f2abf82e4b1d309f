/** Whether the text between two offsets equals `what`, without a substring. */
export function isAt(text: string, from: number, to: number, what: string): boolean {
  if (to - from !== what.length) return false
  for (let i = 0; i < what.length; i++) if (text.charCodeAt(from + i) !== what.charCodeAt(i)) return false
  return true
}
