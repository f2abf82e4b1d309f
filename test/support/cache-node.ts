import { until } from './engine.ts'
import { type ServerInProcess, serveInProcess } from './in-process-server.ts'

/** A cache node in the process of the test. */
export interface CacheNode extends ServerInProcess {
  status(): Promise<CacheStatus>
  /** Resolves when the cache follows an origin, or another state holds. */
  reaches(state: string): Promise<void>
}

export interface CacheStatus {
  readonly node: string | null
  readonly origins: readonly { readonly url: string; readonly state: string; readonly last_error: unknown }[]
  readonly cache: Readonly<Record<string, number>>
}

export async function startCache(
  origins: readonly string[],
  flags: readonly string[] = [],
  headers: Readonly<Record<string, string>> = {},
): Promise<CacheNode> {
  const of = origins.flatMap((url) => ['--cache-of', url])
  const server = await serveInProcess({ flags: [...of, ...flags] })
  async function status(): Promise<CacheStatus> {
    const response = await fetch(`${server.url}/v1/_nodes`, { headers })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    return response.json() as Promise<CacheStatus>
  }
  return {
    ...server,
    status,
    reaches: (state) =>
      until(async () => {
        const found = await status().catch(() => null)
        return found?.origins.some((one) => one.state === state) === true
      }, `an origin is ${state}`),
  }
}
