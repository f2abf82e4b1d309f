import { bitFlips } from './bit-flips.ts'
import { clocks } from './clocks.ts'
import { clusters } from './clusters.ts'
import { descriptors } from './descriptors.ts'
import type { Fault } from './fault.ts'
import { fullDisks } from './full-disks.ts'
import { kills } from './kills.ts'
import { linearizability } from './linearizability.ts'
import { nodes } from './nodes.ts'
import { powerCuts } from './power-cuts.ts'
import { redisFaults } from './redis-faults.ts'
import { slowClients } from './slow-clients.ts'
import { systemErrors } from './system-errors.ts'

/** Every fault that `npm run soak` knows; a new one is a file and a line here. */
export const faults: readonly Fault[] = [
  kills,
  linearizability,
  systemErrors,
  bitFlips,
  fullDisks,
  descriptors,
  clocks,
  slowClients,
  powerCuts,
  redisFaults,
  nodes,
  clusters,
]
