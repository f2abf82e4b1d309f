/** Changes at a steady rate, and the clock that tells how long they take to those who watch. */

/** Milliseconds since 1970 with their fractions; the same in every process of a machine to within a few dozen µs. */
export function wallClockMs(): number {
  return performance.timeOrigin + performance.now()
}

export interface ChangesRun {
  readonly port: number
  /** The member that the change of this number is made to. */
  readonly pathOf: (number: number) => string
  /** The number of the first one. */
  readonly from: number
  readonly count: number
  readonly perSecond: number
}

const padding = 'x'.repeat(40)

/**
 * Puts values that hold when they were sent, each when its time has come, whatever became of those before. Returns the
 * seconds until all are answered; rejects when one is refused.
 */
export async function makeChanges(run: ChangesRun): Promise<number> {
  const startedAt = performance.now()
  const responses: Promise<void>[] = []
  let failure: unknown = null
  for (let offset = 0; offset < run.count; offset++) {
    const dueInMs = startedAt + (offset * 1000) / run.perSecond - performance.now()
    if (dueInMs > 0) await Bun.sleep(dueInMs)
    const reply = change(run, run.from + offset).catch((error) => {
      failure ??= error
    })
    responses.push(reply)
    if (failure !== null) break
  }
  await Promise.all(responses)
  if (failure !== null) throw failure
  return (performance.now() - startedAt) / 1000
}

async function change({ port, pathOf }: ChangesRun, number: number): Promise<void> {
  const path = pathOf(number)
  const reply = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: `{"sent_at_ms":${wallClockMs()},"text":"${padding}"}`,
  })
  const text = await reply.text()
  if (!reply.ok) throw new Error(`PUT ${path} answered ${reply.status}: ${text.slice(0, 300)}`)
}
