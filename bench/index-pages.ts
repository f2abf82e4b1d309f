import { countryOf } from './cities.ts'
import { startKvist } from './kvist-server.ts'
import { keyOf } from './members.ts'
import { processorSeconds } from './process.ts'
import { median } from './statistics.ts'
import { runWrk } from './wrk.ts'

/** Pages by an index beside pages by key, over HTTP, by the processor time of the server: a load after the other, another one first each round. */

const pageMembers = 100
const pageRounds = 8
const pageSeconds = 2
const pagePort = 17_732

/** Values whose `at` is in another order than the keys: members that are neighbours in the index lie far apart. */
function placedText(i: number, members: number): string {
  const at = keyOf((i * 7919) % members)
  return `{"country":"${countryOf(i)}","at":"${at}","text":"${'x'.repeat(40)}"}`
}

async function fill(url: string, members: number): Promise<void> {
  for (let from = 0; from < members; from += 20_000) {
    const some = Array.from({ length: Math.min(20_000, members - from) }, (_, n) => from + n)
    const line = (i: number) => `{"key":"${keyOf(i)}","value":${placedText(i, members)}}\n`
    const headers = { 'content-type': 'application/x-ndjson' }
    await (await fetch(`${url}/v1/cities`, { method: 'POST', body: some.map(line).join(''), headers })).text()
  }
  const settings = `${url}/v1/_collections/cities`
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ indexes: [{ name: 'by_at', on: ['@.country', '@.at'] }] })
  await (await fetch(settings, { method: 'PUT', headers, body })).text()
  const isReady = async () => (await (await fetch(settings)).text()).includes('"state":"ready"')
  while (!(await isReady())) await Bun.sleep(100)
}

/** Waits until the process has done nothing for some seconds: its flusher too. */
async function untilIdle(pid: number): Promise<void> {
  for (let idle = 0; idle < 5; ) {
    const before = processorSeconds(pid)
    await Bun.sleep(1000)
    idle = processorSeconds(pid) - before < 0.05 ? idle + 1 : 0
  }
}

/** Pages of 100 over HTTP from random starts: by key, and by an index. The first round is not counted. */
export async function measurePages(dataDir: string, members: number): Promise<void> {
  const server = await startKvist(dataDir, 'pages-http', pagePort)
  try {
    await fill(`http://127.0.0.1:${pagePort}`, members)
    await untilIdle(server.pid)
    const where = `where=@.country%3D%3D%22SE%22%26%26@.at%3E%3D%22{key}%22`
    const loads = [
      { name: 'by key', query: 'from={key}' },
      { name: 'by an index', query: where },
      { name: 'by an index, in its order', query: `${where}&order=@.at` },
      { name: 'by an index, in reverse', query: `${where.replace('%3E%3D', '%3C')}&order=-@.at` },
    ]
    const measured = loads.map((load) => ({ ...load, cpuUs: [] as number[], perSecond: [] as number[] }))
    for (let round = 0; round <= pageRounds; round++) {
      for (let i = 0; i < measured.length; i++) {
        const { query, cpuUs, perSecond } = measured[(i + round) % measured.length]!
        const before = processorSeconds(server.pid)
        const figures = await runWrk({
          ...{ port: pagePort, choose: 'random', connections: 16, seconds: pageSeconds, seed: round + 1 },
          request: { method: 'GET', path: `/v1/cities?limit=${pageMembers}&${query}` },
          members: Math.floor(members * 0.9),
        })
        if (figures.errors > 0) throw new Error(`${figures.errors} requests failed`)
        if (round === 0) continue
        cpuUs.push(((processorSeconds(server.pid) - before) * 1e6) / (figures.perSecond * pageSeconds))
        perSecond.push(figures.perSecond)
      }
    }
    const byKey = measured[0]!
    for (const { name, cpuUs, perSecond } of measured) {
      const ratio = median(cpuUs.map((one, i) => one / byKey.cpuUs[i]!))
      console.log(
        `a page of ${pageMembers} ${name}: ${Math.round(median(cpuUs))} µs of the server's processor time, ` +
          `${ratio.toFixed(2)} times that of one by key; ${Math.round(median(perSecond))} a second`,
      )
    }
  } finally {
    await server.stop()
  }
}
