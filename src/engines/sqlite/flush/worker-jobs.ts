import { KvistError } from '../../../core/errors.ts'
import type { Job, JobResult } from './flush-worker.ts'

/** Jobs that are done in a thread of their own (flush-worker.ts). */

export type FailedJob = JobResult & { readonly ok: false }

/** A small heap is tidied up more often. */
export function newWorker(isMemoryScarce: boolean): Worker {
  return new Worker(new URL('./flush-worker.ts', import.meta.url).href, { smol: isMemoryScarce })
}

/** `onEnd` is called when the thread has ended with this job, which fails then. */
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

/** Transactions of the tables that a job has committed; null when that is not known. */
export function commitsOf(job: Job, result: JobResult): number | null {
  if (!result.ok) return null
  return job.do === 'forget' && result.count === 0 ? 0 : 1
}

export function failureOf({ full, detail }: FailedJob, what: string): KvistError {
  if (full) return new KvistError('storage_full', 'the disk is full')
  return new KvistError('storage_failed', what, {}, detail)
}
