import type { EngineStatus } from '../../core/engine-status.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { Route } from '../route.ts'
import * as docs from './openapi-engine.ts'
import { v1Tag } from './openapi-parts.ts'

/** What operators ask about where the store is. */
export function engineRoutes(status: () => Promise<EngineStatus>): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/_engine',
      access: 'read all',
      summary: 'Where the store is: the engine, its servers, and what they hold',
      tag: v1Tag,
      docs: docs.getEngine,
      async handle(request) {
        parametersOf(request, [])
        return jsonTextLine(JSON.stringify(statusJson(await status())))
      },
    },
  ]
}

function statusJson({ engine, primaries, lines }: EngineStatus) {
  return {
    engine,
    primaries: primaries.map(({ address, version, slots, memoryBytes, maxMemoryBytes, replicas }) => ({
      address,
      version,
      slots,
      memory_bytes: memoryBytes,
      max_memory_bytes: maxMemoryBytes,
      replicas: replicas.map(({ address, lagBytes }) => ({ address, lag_bytes: lagBytes })),
    })),
    lines: lines.map(({ line, primary, revision, reported, members, tombstones, memoryBytes, gaps }) => ({
      line,
      primary,
      revision,
      reported,
      members,
      tombstones,
      memory_bytes: memoryBytes,
      gaps,
    })),
  }
}
