import pino from 'pino'
import { errorFields } from './error-fields.ts'
import { readableLine } from './readable-line.ts'

/** Writes one line per event to stdout: JSON, or readable text on a terminal. */
export interface Log {
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  /** Logs an error, with all its causes in the field `error`. */
  error(error: unknown, fields?: LogFields): void
}

export type LogFields = Readonly<Record<string, unknown>>

/** Events below the level are not logged. */
export type LogLevel = 'error' | 'warn' | 'info'

export interface LogOptions {
  readonly level: LogLevel
  /** Writes readable text, for a terminal. */
  readonly readable: boolean
  /** The destination of lines instead of stdout. */
  readonly write?: (line: string) => void
}

export function startLog({ level, readable, write }: LogOptions): Log {
  const logger = pino(
    {
      level,
      base: null, // pid and hostname are known to the log collector
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (name) => ({ level: name }) },
    },
    readable ? readableStream(write ?? ((line) => process.stdout.write(line))) : jsonStream(write),
  )
  return {
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (error, fields = {}) =>
      logger.error(
        { ...fields, error: errorFields(error) },
        error instanceof Error ? error.message : String(error),
      ),
  }
}

/** Returns a function that writes lines to stdout, each whole among those of the log. */
export function stdoutLines({ readable, write }: Omit<LogOptions, 'level'>): (line: string) => void {
  if (write !== undefined) return write
  if (readable) return (line) => void process.stdout.write(line)
  const stream = jsonStream(undefined)
  return (line) => stream.write(line)
}

/**
 * Writes lines synchronously in this thread, because the last one before a crash is the one that is needed. A reader
 * that stops reading its pipe blocks kvist when the pipe is full; one that closes it does not.
 */
function jsonStream(write: LogOptions['write']): pino.DestinationStream {
  return write === undefined ? pino.destination({ dest: 1, sync: true }) : { write }
}

function readableStream(write: (line: string) => void): pino.DestinationStream {
  return { write: (line) => write(readableLine(JSON.parse(line))) }
}
