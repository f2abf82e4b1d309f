import { join } from 'node:path'
import { track } from './process.ts'
import type { WatchFigures, WatchOrder, WatchRun } from './watch-client.ts'

/** Many watchers, in their own process (watch-client.ts). */
export interface Watchers {
  /**
   * Waits until they have received `events` events, or none for ten seconds, and returns their figures since the
   * previous call.
   */
  figures(events: number): Promise<WatchFigures>
  close(): Promise<void>
}

/** Opens watchers and resolves when all of them are watching. */
export async function openWatchers(run: WatchRun): Promise<Watchers> {
  const command = [process.execPath, join(import.meta.dir, 'watch-client.ts'), JSON.stringify(run)]
  const child = track(Bun.spawn(command, { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' }))
  const lines = linesOf(child.stdout)
  async function line(): Promise<string> {
    const { value } = await lines.next()
    if (value === undefined) throw new Error(`the watchers ended: ${await child.stderr.text()}`)
    return value
  }
  await line()
  return {
    async figures(events) {
      const order: WatchOrder = { events }
      child.stdin.write(`${JSON.stringify(order)}\n`)
      await child.stdin.flush()
      return JSON.parse(await line())
    },
    async close() {
      await child.stdin.end()
      await child.exited
    },
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    const whole = text.split('\n')
    text = whole.pop() ?? ''
    yield* whole
  }
}
