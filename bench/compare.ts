/**
 * Measures how long two servers with the same members take to be compared, how long until one member that differs is found,
 * what that costs each of them in processor time, and how much is transferred. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { differences } from '../src/replication/compare.ts'
import { remoteNode } from '../src/replication/compared-node.ts'
import { comparedRules } from '../src/replication/selection.ts'
import { importMembers, startKvist } from './kvist-server.ts'
import { chooseOptions, fillingOptions } from './options.ts'
import { killAll, processorSeconds, removeFolder, type Server } from './process.ts'
import { median } from './statistics.ts'

const ports = [17_731, 17_732] as const
/** For a million members. */
const barSeconds = 5
const rounds = 3

const options = chooseOptions(fillingOptions)
const members = options.number('members')
const dataDir = join(resolve(options.text('data')), 'compare')
const urlOf = (of: number) => `http://127.0.0.1:${of}`
const value = JSON.stringify({ text: 'x'.repeat(88) })

/** Fills the first server, and through its mirror the second: a copy of a folder would have other origins. */
async function fill(): Promise<void> {
  await importMembers(`${urlOf(ports[0])}/v1/bench`, members, value)
  const { nodes } = new Kvist(urlOf(ports[0]))
  const isCurrent = async () =>
    (await nodes.status()).targets.every(({ state, lag_changes: lag }) => state === 'current' && lag === 0)
  while (!(await isCurrent())) await Bun.sleep(200)
}

interface Comparison {
  readonly found: readonly string[]
  readonly seconds: number
  readonly firstSeconds: number
  readonly bytes: number
}

async function compare(): Promise<Comparison> {
  let bytes = 0
  const counting = async (url: string, init: RequestInit) => {
    const response = await fetch(url, init)
    const body = await response.arrayBuffer()
    bytes += body.byteLength + String(init.body ?? '').length
    return new Response(body, response)
  }
  const [a, b] = ports.map((port) =>
    remoteNode(new Kvist(urlOf(port), { fetch: counting }), { timeoutMs: 0 }),
  ) as [ReturnType<typeof remoteNode>, ReturnType<typeof remoteNode>]
  const startedMs = performance.now()
  const found: string[] = []
  let firstMs = 0
  for await (const some of differences(a, b, {
    isCompared: comparedRules([], false),
    elapsedMs: () => performance.now(),
    sleep: Bun.sleep,
    onItsWayMs: 0,
  })) {
    firstMs ||= performance.now() - startedMs
    found.push(...some.map(({ key }) => key))
  }
  const seconds = (performance.now() - startedMs) / 1000
  return { found, seconds, firstSeconds: firstMs / 1000, bytes }
}

async function measure(
  title: string,
  servers: readonly Server[],
  expected: readonly string[],
): Promise<void> {
  const seconds: number[] = []
  let bytes = 0
  const before = servers.map(({ pid }) => processorSeconds(pid))
  for (let round = 0; round < rounds; round++) {
    const result = await compare()
    if (!Bun.deepEquals(result.found, expected)) throw new Error(`${title}: found ${result.found.join()}`)
    seconds.push(result.seconds)
    bytes = result.bytes
  }
  const used = servers.map(({ pid }, i) => ((processorSeconds(pid) - before[i]!) / rounds).toFixed(2))
  const verdict = median(seconds) <= (barSeconds * members) / 1e6 ? '' : ', above the bar'
  console.log(
    `| ${title} | ${median(seconds).toFixed(2)}${verdict} | ${used.join(' and ')} | ${Math.round(bytes / 1000)} |`,
  )
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  const servers: Server[] = []
  try {
    servers.push(await startKvist(dataDir, 'second', ports[1]))
    servers.unshift(await startKvist(dataDir, 'first', ports[0], ['--mirror-to', urlOf(ports[1])]))
    await fill()
    console.log(`${members} members\n`)
    console.log('| Servers | seconds | processor s of each | transfer, KB |\n| --- | --- | --- | --- |')
    await measure('the same', servers, [])
    const key = `${Math.floor(members * 0.7)}`
    await fetch(`${urlOf(ports[1])}/v1/bench/${key}`, { method: 'PUT', body: '1' })
    await measure('one member differs', servers, [key])
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
