/** Keys as people see them: control characters, and what would turn the direction of the text around it, have signs. */

export function shownKey(key: string): string {
  return key.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\ufeff\u200b]/gu, signOf)
}

function signOf(character: string): string {
  return `⟨${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}⟩`
}
