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
  read100: readOf(100),
  read1000: readOf(1000),
} as const satisfies Record<string, RawRequest>

function readOf(members: number) {
  return {
    method: 'POST',
    path: '/v1/_read',
    headers: { 'Content-Type': 'application/json' },
    body: `{"members":[{refs:${members}}]}`,
  } as const
}
