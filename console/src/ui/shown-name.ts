/** Names of collections, keys and tokens as people see and hear them. */

/** What is not seen, and what would turn the direction of the text around it. */
const unseen = /[\p{Cc}\u2028\u2029\u061c\u202a-\u202e\u2066-\u2069\u200e\u200f\ufeff\u200b]/gu
/** Letters that are written from right to left: Hebrew, Arabic, and what is near them. */
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u

/**
 * Returns a name for a text, a title or a label: `⟨202E⟩` stands for a character that is not seen, and letters written from
 * right to left are isolated, as `<bdi>` does for elements, so that the sentence around them keeps its order.
 */
export function shownName(name: string): string {
  const seen = name.replace(unseen, signOf)
  return rightToLeft.test(seen) ? `\u2068${seen}\u2069` : seen
}

function signOf(character: string): string {
  return `⟨${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}⟩`
}
