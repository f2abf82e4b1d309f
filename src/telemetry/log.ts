import pino from 'pino'
import { errorFields } from './error-fields.ts'
import { readableLine } from './readable-line.ts'

/** One line an event on stdout: JSON, or words where somebody reads along. */
export interface Log {
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  /** The error with all its causes goes under `error`. */
  error(error: unknown, fields?: LogFields): void
}

export type LogFields = Readonly<Record<string, unknown>>

/** Events below the level are left out. */
export type LogLevel = 'error' | 'warn' | 'info'

export interface LogOptions {
  readonly level: LogLevel
  /** Somebody reads along: a terminal. */
  readonly readable: boolean
  /** Where lines go, in place of stdout. */
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

/**
 * Lines leave at once, in this thread: the last one before a crash is the one that is needed. A reader of a pipe that
 * stops reading stops kvist when the pipe is full; one that goes away does not.
 */
function jsonStream(write: LogOptions['write']): pino.DestinationStream {
  return write === undefined ? pino.destination({ dest: 1, sync: true }) : { write }
}

function readableStream(write: (line: string) => void): pino.DestinationStream {
  return { write: (line) => write(readableLine(JSON.parse(line))) }
}
