import { KvistUnreachableError } from '../../sdk/client.ts'
import { command } from './command.ts'
import { authoritiesOf, connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'

/** Shorter than the time limit of supervisors, so that the reason is printed. */
const timeoutMs = 3000

export const healthCommand = command('health', {
  summary: 'Ask whether the server is ready',
  notes:
    'Ends with 0 when it is, and otherwise says why not: for containers and supervisors. It needs no token.',
  operands: [],
  options: connectionOptions,
  async run(given) {
    const { url } = connect(given)
    const ca = authoritiesOf(given)
    // Without a URL the server is on this machine, and its certificate is for the name by which others know it.
    const tls = given.url === undefined ? { rejectUnauthorized: false } : ca === null ? {} : { ca }
    const signal = AbortSignal.timeout(timeoutMs)
    const response = await fetch(`${url}/readyz`, { signal, tls }).catch((cause) => {
      throw new KvistUnreachableError(url, cause)
    })
    const text = (await response.text()).trim()
    if (response.ok && text === 'ready') return 0
    const line = `${response.status} ${firstLine(text)}`.trim()
    const isKvist = response.status === 503
    complain(isKvist ? `${url} is not ready: ${line}` : `what responds at ${url} is not kvist: ${line}`)
    return 1
  },
})

/** Returns the first line, shortened and without control characters. */
function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/\p{Cc}/gu, '').slice(0, 100)
}
