import { type Draft, type Process, ProcessRefusal, refuse } from '../core/process.ts'

/**
 * The thread that runs a process of the operator: the first message names its file, each further one is a member. The
 * process is confined to this thread: it may loop, exit, or fail in a timer, and the server goes on.
 */
declare const self: Worker

export type FromProcess =
  | { readonly loaded: string }
  | { readonly failed: string }
  | { readonly response: unknown }
  | { readonly refused: string }
  /** The stack of the error. */
  | { readonly threw: string }

export interface ToProcess {
  readonly draft: Draft
  readonly collection: string
  readonly nowMs: number
}

let loaded: Process | null = null

self.onmessage = async ({ data }: MessageEvent<{ readonly href: string } | ToProcess>) => {
  if ('href' in data) post(await load(data.href))
  else if (loaded !== null) await responseOf(loaded, data)
}

function post(message: FromProcess): void {
  self.postMessage(message)
}

async function load(href: string): Promise<FromProcess> {
  try {
    const { default: given }: { default?: unknown } = await import(href)
    if (!isProcess(given)) return { failed: 'it does not export a default { name, run(member, context) }' }
    loaded = given
    return { loaded: given.name }
  } catch (error) {
    return { failed: error instanceof Error ? error.message : String(error) }
  }
}

function isProcess(given: unknown): given is Process {
  if (typeof given !== 'object' || given === null || !('run' in given) || !('name' in given)) return false
  return typeof given.run === 'function' && typeof given.name === 'string'
}

/**
 * Runs the process and posts its result. Only the fields that a process may change are sent back, because a result may
 * contain something that cannot cross threads.
 */
async function responseOf(process: Process, { draft, collection, nowMs }: ToProcess): Promise<void> {
  try {
    const given: unknown = await process.run(draft, { collection, nowMs, refuse })
    if (typeof given !== 'object' || given === null) return post({ response: null })
    const { value, expiresAtMs }: { value?: unknown; expiresAtMs?: unknown } = given
    post({ response: { value, expiresAtMs } })
  } catch (error) {
    if (error instanceof ProcessRefusal) post({ refused: error.message })
    else post({ threw: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}
