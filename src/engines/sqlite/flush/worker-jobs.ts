import { KvistError } from '../../../core/errors.ts'
import type { Job, JobResult } from './flush-worker.ts'

/** Runs jobs in a worker thread (flush-worker.ts). */

export type FailedJob = JobResult & { readonly ok: false }

/** Starts a worker thread; scarce memory gives it a small heap, which is collected more often. */
export function newWorker(isMemoryScarce: boolean): Worker {
  return new Worker(new URL('./flush-worker.ts', import.meta.url).href, { smol: isMemoryScarce })
}

/** Runs a job and resolves with its result. If the thread dies, calls `onEnd`, and the job counts as failed. */
export function runJob(on: Worker, job: Job, onEnd = () => {}): Promise<JobResult> {
  return new Promise((resolve) => {
    on.onmessage = (event: MessageEvent<JobResult>) => resolve(event.data)
    on.onerror = (event) => {
      onEnd()
      resolve({ ok: false, full: false, detail: event.message })
    }
    on.postMessage(job)
  })
}

/** The number of transactions that a job has committed to the tables; null after a failure, when it is unknown. */
export function commitsOf(job: Job, result: JobResult): number | null {
  if (!result.ok) return null
  return job.do === 'forget' && result.count === 0 ? 0 : 1
}

export function failureOf({ full, detail }: FailedJob, what: string): KvistError {
  if (full) return new KvistError('storage_full', 'the disk is full')
  return new KvistError('storage_failed', what, {}, detail)
}
