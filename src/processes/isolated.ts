import { pathToFileURL } from 'node:url'
import { maxProcessMs } from '../core/limits.ts'
import { type Draft, type Process, ProcessRefusal } from '../core/process.ts'
import type { FromProcess, ToProcess } from './process-worker.ts'

/** A process that runs in its own thread. */
export interface IsolatedProcess extends Process {
  /** Ends the thread; its pending members fail. */
  stop(): void
}

/** The form of a process name, kept plain because names occur in settings, URLs of documentation and responses. */
const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const loadTimeoutMs = 30_000

/**
 * Loads the process in a file, into its own thread. The thread runs one member at a time, so that a run over the time
 * limit can be attributed: its thread is ended, and the next member gets a new one. Rejects with a one-line message for
 * the operator if the file is not a process.
 */
export async function isolated(file: string, timeLimitMs = maxProcessMs): Promise<IsolatedProcess> {
  const href = pathToFileURL(file).href
  let thread: Thread | null = null
  let last: Promise<unknown> = Promise.resolve()
  let stopped = false

  const first = await startThread(href)
  if (!nameForm.test(first.name)) {
    first.end()
    throw new Error(`${file}: the name of a process is letters, digits, dots and dashes, 64 at most`)
  }
  thread = first

  async function runNext(job: ToProcess): Promise<Draft> {
    if (stopped) throw new Error('the server stops')
    thread ??= await startThread(href)
    const reply = await thread.ask(job, timeLimitMs)
    if (reply === null || 'gone' in reply) {
      thread.end()
      thread = null
      throw new Error(reply === null ? `it took more than ${timeLimitMs} ms` : reply.gone)
    }
    if ('refused' in reply) throw new ProcessRefusal(reply.refused)
    if ('threw' in reply) throw new Error(reply.threw)
    // The pipeline checks the result, as it checks that of every process.
    return ('response' in reply ? reply.response : null) as Draft
  }

  return {
    name: first.name,
    run(draft, { collection, nowMs }) {
      const done = last.then(() => runNext({ draft, collection, nowMs }))
      last = done.catch(() => {})
      return done
    },
    stop() {
      stopped = true
      thread?.end()
    },
  }
}

type Reply = FromProcess | { readonly gone: string }

interface Thread {
  readonly name: string
  /** Resolves with the thread's reply; null if there is none in time. */
  ask(message: ToProcess, withinMs: number): Promise<Reply | null>
  end(): void
}

async function startThread(href: string): Promise<Thread> {
  const worker = new Worker(new URL('./process-worker.ts', import.meta.url).href)
  worker.unref()
  let onReply = (_reply: Reply): void => {}
  let gone: string | null = null
  worker.onmessage = ({ data }: MessageEvent<FromProcess>) => onReply(data)
  worker.onerror = (event) => {
    event.preventDefault()
    gone ??= `its thread failed: ${event.message}`
    onReply({ gone })
  }
  worker.addEventListener('close', () => {
    gone ??= 'its thread ended'
    onReply({ gone })
  })

  function ask(message: ToProcess | { href: string }, withinMs: number): Promise<Reply | null> {
    if (gone !== null) return Promise.resolve({ gone })
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), withinMs)
      onReply = (reply) => {
        clearTimeout(timer)
        resolve(reply)
      }
      worker.postMessage(message)
    })
  }

  const end = (): void => worker.terminate()
  const reply = await ask({ href }, loadTimeoutMs)
  if (reply !== null && 'loaded' in reply) return { name: reply.loaded, ask, end }
  end()
  const why =
    reply === null ? 'it took too long to load' : 'failed' in reply ? reply.failed : 'its thread ended'
  throw new Error(`${href}: ${why}`)
}
