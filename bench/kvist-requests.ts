import { writtenValue } from './members.ts'
import type { RawRequest } from './wrk.ts'

/** The requests of kvist's loads, to the collection that `importIntoKvist` fills. */
export const kvistRequests = {
  get: { method: 'GET', path: '/v1/bench/{key}' },
  put: {
    method: 'PUT',
    path: '/v1/bench/{key}',
    headers: { 'Content-Type': 'application/json' },
    body: writtenValue,
  },
  page: { method: 'GET', path: '/v1/bench?limit=100&from={key}' },
} as const satisfies Record<string, RawRequest>
