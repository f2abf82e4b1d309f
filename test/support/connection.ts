import type { Connection } from '../../src/http/route.ts'

/** Of a handler that is called without a server. */
export const noConnection: Connection = {
  renew() {},
  hold() {},
  cut() {},
  failed() {},
  keep() {},
  letGo() {},
}
