/** Makes changes at a steady rate, with a clock to measure how long they take to reach watchers. */

/** Returns milliseconds since 1970 with fractions; the same in every process of a machine to within a few dozen µs. */
export function wallClockMs(): number {
  return performance.timeOrigin + performance.now()
}

export interface ChangesRun {
  readonly port: number
  /** The path of the member that the change with this number is made to. */
  readonly pathOf: (number: number) => string
  /** The number of the first change. */
  readonly from: number
  readonly count: number
  readonly perSecond: number
}

const padding = 'x'.repeat(40)

/**
 * Puts values that contain the time of sending, each on schedule, even if earlier ones are late or failed. Returns the
 * seconds until all have their responses; rejects if one fails.
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
  if (!reply.ok) throw new Error(`PUT ${path} responded ${reply.status}: ${text.slice(0, 300)}`)
}
