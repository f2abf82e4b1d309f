import { runCluster } from '../support/cluster/run.ts'
import { type Fault, repeatFor } from './fault.ts'

/** Simulated clusters of three to five nodes: thousands of them in the time of a few real ones. */
export const clusters: Fault = {
  name: 'clusters',
  does: 'simulated nodes that lose batches, progress and lives, with clocks apart: each ends up as the model says',
  async round({ random, budgetMs }) {
    const figures = { clusters: 0, operations: 0, kills: 0 }
    await repeatFor(budgetMs, async () => {
      const { operations, kills } = await runCluster(random.int(2 ** 32), 50 + random.int(250))
      figures.clusters++
      figures.operations += operations
      figures.kills += kills
    })
    return figures
  },
}
