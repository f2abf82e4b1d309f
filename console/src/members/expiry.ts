import type { ExpiryFields } from 'kvist-client'

/** What a person writes about when a member expires: `never`, `90s`, `15m`, `12h`, `7d`, or a number of seconds. */

const written = /^(\d+)\s*(s|m|h|d)?$/

/** Returns the expiry for the API; null where the text is none. Nothing written is not an expiry. */
export function expiryOf(text: string): Pick<ExpiryFields, 'expire_in'> | null {
  const trimmed = text.trim().toLowerCase()
  if (trimmed === 'never') return { expire_in: 'never' }
  const [, amount, unit = 's'] = written.exec(trimmed) ?? []
  return amount === undefined || Number(amount) === 0 ? null : { expire_in: `${Number(amount)}${unit}` }
}
