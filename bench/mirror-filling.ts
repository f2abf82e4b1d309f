/**
 * Measures how long a new target takes until it has everything, and what that costs both servers, while a client writes to
 * the emitter a hundred times a second. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { importMembers, startKvist } from './kvist-server.ts'
import { chooseOptions, fillingOptions } from './options.ts'
import {
  killAll,
  type MemorySample,
  processorSeconds,
  removeFolder,
  type Server,
  watchMemory,
} from './process.ts'

const port = 17_721
const targetPort = 17_722
/** For a million members. */
const barSeconds = 60
const writeEveryMs = 10

const options = chooseOptions(fillingOptions)
const members = options.number('members')
const dataDir = join(resolve(options.text('data')), 'mirror-filling')
const urlOf = (of: number) => `http://127.0.0.1:${of}`
const value = JSON.stringify({ text: 'x'.repeat(88) })

/** Writes until the target has everything; returns how many writes that were. */
async function writeUntilFilled(): Promise<number> {
  const { nodes } = new Kvist(urlOf(port))
  for (let i = 0; ; i++) {
    const path = `${urlOf(port)}/v1/bench/${(i * 7919) % members}`
    await (await fetch(path, { method: 'PUT', body: value })).text()
    await Bun.sleep(writeEveryMs)
    if (i % 10 !== 0) continue
    const [target] = (await nodes.status()).targets
    if (target?.state === 'current') return i
  }
}

async function countOf(of: number): Promise<number> {
  const { collections } = (await (await fetch(`${urlOf(of)}/v1`)).json()) as {
    collections: { name: string; members: number }[]
  }
  return collections.find(({ name }) => name === 'bench')?.members ?? 0
}

function peakOf(samples: readonly MemorySample[]): string {
  const peak = (pick: (sample: MemorySample) => number) => Math.round(Math.max(...samples.map(pick)))
  return `${peak(({ anonymousMb }) => anonymousMb)} | ${peak(({ rssMb }) => rssMb)}`
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  const servers: Server[] = []
  try {
    const first = await startKvist(dataDir, 'emitter', port)
    await importMembers(`${urlOf(port)}/v1/bench`, members, value)
    await first.stop()
    const target = await startKvist(dataDir, 'target', targetPort)
    servers.push(target)
    const startedMs = performance.now()
    const emitter = await startKvist(dataDir, 'emitter', port, ['--mirror-to', urlOf(targetPort)])
    servers.push(emitter)
    const samples = [emitter, target].map(({ pid }) => watchMemory(pid, 100))
    const writes = await writeUntilFilled()
    const seconds = (performance.now() - startedMs) / 1000
    const count = await countOf(targetPort)
    if (count !== members) throw new Error(`the target has ${count} members, and should have ${members}`)
    const verdict = seconds <= (barSeconds * members) / 1e6 ? '' : ', above the bar'
    console.log(`${members} members and ${writes} writes in ${seconds.toFixed(1)} s${verdict}\n`)
    console.log('| Server | processor s | most memory, MB | with mapped pages |\n| --- | --- | --- | --- |')
    for (const [i, { pid }] of [emitter, target].entries()) {
      const name = i === 0 ? 'emitter' : 'target'
      console.log(`| ${name} | ${processorSeconds(pid).toFixed(1)} | ${peakOf(samples[i]!())} |`)
    }
  } finally {
    for (const server of servers) await server.stop()
    removeFolder(dataDir)
  }
}

try {
  await run()
} catch (error) {
  await killAll()
  throw error
}
