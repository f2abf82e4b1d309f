/** Returns the time of day in milliseconds since 1970, for commands; the server has its own (`serve.ts`). */
export function wallClockMs(): number {
  return Date.now()
}
