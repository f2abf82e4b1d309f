import type { Refused } from './command.ts'

/** The error lines of memcached, verbatim. */
export const responses = {
  unknown: 'ERROR',
  badFormat: 'CLIENT_ERROR bad command line format',
  badDataChunk: 'CLIENT_ERROR bad data chunk',
  badDelta: 'CLIENT_ERROR invalid numeric delta argument',
  badExptime: 'CLIENT_ERROR invalid exptime argument',
  deleteUsage: 'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]',
  notANumber: 'CLIENT_ERROR cannot increment or decrement non-numeric value',
  rateLimited: 'SERVER_ERROR rate limited',
  tooLarge: 'SERVER_ERROR object too large for cache',
  badKey: 'CLIENT_ERROR error decoding key',
  badToken: 'CLIENT_ERROR bad token in command line format',
  badInitial: 'CLIENT_ERROR invalid numeric initial value',
  badMetaDelta: 'CLIENT_ERROR invalid numeric delta value',
  badMode: 'CLIENT_ERROR incorrect length for M token',
  unknownStoreMode: 'CLIENT_ERROR invalid mode for ms M token',
  unknownCountMode: 'CLIENT_ERROR invalid mode for ma M token',
  duplicateFlag: 'CLIENT_ERROR duplicate flag',
  invalidFlag: 'CLIENT_ERROR invalid flag',
  badFlags: 'CLIENT_ERROR invalid or duplicate flag',
  manyFlags: 'CLIENT_ERROR options flags too long',
  manyGetFlags: 'CLIENT_ERROR options flags are too long',
  longOpaque: 'CLIENT_ERROR opaque token too long',
  /** memcached closes without a response here; its document specifies an error line first. */
  longLine: 'CLIENT_ERROR line too long',
} as const

export function refuse(response: string, silent = false): Refused {
  return { kind: 'refused', response, silent, closes: false, drops: null }
}

export function refuseLargeValue(silent: boolean, drops: string | null): Refused {
  return { kind: 'refused', response: responses.tooLarge, silent, closes: false, drops }
}

export function refuseAndClose(response: string): Refused {
  return { kind: 'refused', response, silent: false, closes: true, drops: null }
}
