/**
 * Measures what a backup costs those who read and write meanwhile: GET and PUT over kept connections, without a backup
 * and while backups are taken, in turns. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import { importIntoKvist } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { startKvist } from './kvist-server.ts'
import { backupOptions, chooseOptions } from './options.ts'
import { killAll, removeFolder } from './process.ts'
import { median } from './statistics.ts'
import { runWrk } from './wrk.ts'

const port = 17_811
const url = `http://127.0.0.1:${port}`

const loads = [
  { name: 'GET', request: kvistRequests.get },
  { name: 'PUT', request: kvistRequests.put },
] as const

const options = chooseOptions(backupOptions)
const dataDir = join(resolve(options.text('data')), 'backup')
const members = options.number('members')

interface Taken {
  backups: number
  bytes: number
}

/** Each backup begins with a flush: back to back, backups of a small store would measure flushes. */
const everyMs = 1500

/** Takes backups until the work is done. */
async function withBackups<Result>(taken: Taken, work: Promise<Result>): Promise<Result> {
  let isDone = false
  work.finally(() => (isDone = true))
  while (!isDone) {
    const pause = Bun.sleep(everyMs)
    const response = await fetch(`${url}/v1/_backup`)
    for await (const chunk of response.body ?? []) taken.bytes += chunk.length
    if (response.ok) taken.backups++
    await Promise.race([pause, work])
  }
  return work
}

try {
  await startKvist(dataDir, 'store', port)
  await importIntoKvist(port, members)
  const common = {
    port,
    choose: 'random',
    members,
    connections: 32,
    seconds: options.number('seconds'),
  } as const
  for (const { name, request } of loads) {
    const ratios: number[] = []
    const taken: Taken = { backups: 0, bytes: 0 }
    for (let round = 0; round < options.number('rounds'); round++) {
      const run = () => runWrk({ ...common, request, seed: round })
      const alone = await run()
      const beside = await withBackups(taken, run())
      ratios.push(beside.perSecond / alone.perSecond)
      console.log(
        `${name} ${Math.round(alone.perSecond)}/s alone, ${Math.round(beside.perSecond)}/s beside backups; p99 ${alone.p99Ms} and ${beside.p99Ms} ms`,
      )
    }
    const megabytes = Math.round(taken.bytes / 1e6)
    console.log(
      `${name} ${median(ratios).toFixed(3)} of the rate, beside ${taken.backups} backups of ${megabytes} MB together`,
    )
  }
} finally {
  killAll()
  removeFolder(dataDir)
}
