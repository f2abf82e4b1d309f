import { expect, test } from 'bun:test'
import { runCluster } from './support/cluster/run.ts'
import { seedOfRun } from './support/random.ts'

/** `KVIST_SEED` does a run again, `KVIST_CLUSTER_RUNS` and `KVIST_CLUSTER_STEPS` make it a longer one. */
const runs = Number(process.env.KVIST_CLUSTER_RUNS ?? 150)
const steps = Number(process.env.KVIST_CLUSTER_STEPS ?? 80)

test(`${runs} clusters of three to five nodes, at random, end up with what the last writes say`, async () => {
  const seed = seedOfRun()
  let versions = 0
  for (let i = 0; i < runs; i++) versions += (await runCluster((seed + i) % 2 ** 32, steps)).versions
  expect(versions).toBeGreaterThan(0)
}, 3_600_000)
