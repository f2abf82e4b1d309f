const { rawJSON } = JSON as JSON & { rawJSON(text: string): unknown } // newer than TypeScript's library

/** Parses JSON so that JSON.stringify writes every number as it was: 1.0, 1e400, 12345678901234567890. */
export function parseExactly(text: string) {
  return JSON.parse(text, (_name, value: unknown, context?: { source: string }) =>
    typeof value === 'number' && context !== undefined ? rawJSON(context.source) : value,
  )
}
