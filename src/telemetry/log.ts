/** One line an event on stdout: plain on a terminal, JSON elsewhere. */
export interface Log {
  info(text: string, fields?: Readonly<Record<string, unknown>>): void
  error(error: unknown): void
}

export function startLog(): Log {
  const write = process.stdout.isTTY ? writePlain : writeJson
  return {
    info: (text, fields = {}) => write('info', text, fields),
    error: (error) => write('error', error instanceof Error ? error.message : String(error), causesOf(error)),
  }
}

type Level = 'info' | 'error'

function writePlain(level: Level, text: string, fields: Readonly<Record<string, unknown>>): void {
  const rest = level === 'error' && Object.keys(fields).length > 0 ? ` ${JSON.stringify(fields)}` : ''
  process.stdout.write(`${text}${rest}\n`)
}

function writeJson(level: Level, text: string, fields: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, text, ...fields })}\n`)
}

function causesOf(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return {}
  const cause = error.cause instanceof Error ? error.cause.message : error.cause
  return { ...('code' in error ? { code: error.code } : {}), ...(cause === undefined ? {} : { cause }) }
}
