/**
 * A queue of jobs with leases. A worker has a job for a time; if it dies, the lease expires and another one takes the job. Only who has
 * the lease can finish the job, so that each is finished once. The braces in the keys keep a job and its lease together on a cluster.
 */
import { Kvist, KvistPreconditionError } from 'kvist-client'

export interface Job<T> {
  readonly id: string
  readonly task: T
  /** The revision of the lease. */
  readonly lease: number
}

export function jobQueue<T>(kvist: Kvist, name: string, leaseTime = '30s') {
  const jobs = kvist.collection<T>(name)
  const leases = kvist.collection<string>(name)
  return {
    /** Ids begin with the time, so that the oldest job comes first. */
    add: (task: T) => jobs.put(`{${new Date().toISOString()} ${crypto.randomUUID()}}/job`, task),

    /** Resolves with the oldest job that no worker has; null if there is none. */
    async take(worker: string): Promise<Job<T> | null> {
      for await (const { key, value: task } of jobs.list({ filter: '*/job' })) {
        const id = key.slice(0, -'/job'.length)
        const lease = await leases
          .put(`${id}/lease`, worker, { create: true, expireIn: leaseTime })
          .catch(falseIfLost)
        if (lease === false) continue
        // The job may have been finished between the list and the lease.
        if ((await jobs.head(key)) !== null) return { id, task, lease: lease.revision }
        await leases.delete(`${id}/lease`, { ifRevision: lease.revision }).catch(falseIfLost)
      }
      return null
    },

    /** Makes the lease last on; false if it is lost: stop working, for another worker may have the job. */
    async renew({ id, lease }: Job<T>): Promise<boolean> {
      const touched = await leases
        .touch(`${id}/lease`, { expireIn: leaseTime, ifRevision: lease })
        .catch(falseIfLost)
      return touched !== false && touched !== null
    },

    /** Takes the job out of the queue; false, and nothing is done, if the lease is lost. */
    async finish({ id, lease }: Job<T>): Promise<boolean> {
      const done = await kvist
        .batch({
          checks: [{ collection: name, key: `${id}/lease`, revision: lease }],
          operations: [
            { op: 'delete', collection: name, key: `${id}/job` },
            { op: 'delete', collection: name, key: `${id}/lease` },
          ],
        })
        .catch(falseIfLost)
      return done !== false
    },
  }
}

function falseIfLost(error: unknown): false {
  if (error instanceof KvistPreconditionError) return false
  throw error
}

if (import.meta.main) {
  const queue = jobQueue<string>(new Kvist(process.env.KVIST_URL ?? 'http://127.0.0.1:7070'), 'mails')
  await queue.add('welcome ada')
  const job = await queue.take('worker 1')
  console.log(job?.task, 'while others get', await queue.take('worker 2'))
  if (job !== null) console.log('finished:', await queue.finish(job))
}
