import type { Cluster } from './cluster.ts'
import beginScript from './scripts/begin.lua' with { type: 'text' }
import commitsScript from './scripts/commits.lua' with { type: 'text' }
import putsScript from './scripts/puts.lua' with { type: 'text' }

/** The SHA-1 of the scripts that apply groups of commits. */
export interface GroupScripts {
  readonly puts: string
  readonly commits: string
  /** As `commits`, also when memory is full. */
  readonly deletes: string
}

export function groupScripts(cluster: Pick<Cluster, 'script'>): GroupScripts {
  const commits = `${beginScript}${commitsScript}`
  return {
    puts: cluster.script(`${beginScript}${putsScript}`),
    commits: cluster.script(commits),
    deletes: cluster.script(`#!lua flags=allow-oom\n${commits}`),
  }
}
