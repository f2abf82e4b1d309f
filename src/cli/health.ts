import { KvistUnreachableError } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'

/** Shorter than what supervisors grant a check, so that the reason is told. */
const patienceMs = 3000

export const healthCommand = command('health', {
  summary: 'Ask whether the server is ready',
  notes:
    'Ends with 0 when it is, and otherwise says why not: for containers and supervisors. It needs no token.',
  operands: [],
  options: connectionOptions,
  async run(given) {
    const { url } = connect(given)
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(patienceMs) }).catch(
      (cause) => {
        throw new KvistUnreachableError(url, cause)
      },
    )
    if (!response.ok) complain(`${url} is not ready: ${response.status} ${(await response.text()).trim()}`)
    return response.ok ? 0 : 1
  },
})
