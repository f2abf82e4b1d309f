import { expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { until } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { type Machine, twoMachines } from './support/network-namespaces.ts'
import { newFolder, startServer } from './support/server.ts'

const { test } = needing('networkNamespaces')

interface Node {
  request(path: string, init?: RequestInit): Promise<Response>
  /** Kills it and starts it again. */
  restart(): Promise<void>
  remove(): Promise<void>
}

const port = 7171
const urlOf = ({ address }: Machine) => `http://${address}:${port}`

async function startOn(machine: Machine, other: Machine): Promise<Node> {
  const dataFolder = newFolder()
  const flags = ['--port', String(port), '--mirror-to', urlOf(other)]
  const start = () => startServer({ dataFolder, command: machine.command, flags })
  let server = await start()
  const { socket } = await machine.reach(port)
  return {
    request: (path, init = {}) => fetch(urlOf(machine) + path, { ...init, unix: socket }),
    async restart() {
      await server.crash()
      server = await start()
    },
    async remove() {
      await server.crash()
      rmSync(dataFolder, { recursive: true, force: true })
    },
  }
}

async function write(node: Node, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) {
    const path = `/v1/c/k${i % 25}`
    const init = i % 6 === 5 ? { method: 'DELETE' } : { method: 'PUT', body: `"${i}"` }
    const response = await node.request(path, init)
    expect([200, 201, 204, 404]).toContain(response.status)
  }
}

async function put(node: Node, key: string, body: string): Promise<void> {
  expect((await node.request(`/v1/c/${key}`, { method: 'PUT', body })).ok).toBe(true)
}

async function membersOf(node: Node): Promise<unknown> {
  const page = await (await node.request('/v1/c?include=all&limit=1000')).json()
  const { members } = page as { members: { revision: number }[] }
  return members.map(({ revision: _, ...rest }) => rest)
}

test('two machines whose cable is taken out, or whose packets are lost one way or both ways, end up the same', async () => {
  const network = await twoMachines()
  const { machines, setCable } = network
  const [first, second] = machines
  const nodes = await Promise.all([startOn(first, second), startOn(second, first)])
  const [a, b] = nodes
  const silence = (isSilent: boolean, ...which: readonly (0 | 1)[]) => {
    for (const at of which) machines[at].setSilent(isSilent)
  }
  const faults: readonly ((isOn: boolean) => void)[] = [
    (isOn) => setCable(!isOn),
    (isOn) => silence(isOn, 0),
    (isOn) => silence(isOn, 0, 1),
  ]
  const same = () =>
    until(async () => Bun.deepEquals(await membersOf(a), await membersOf(b)), 'both have the same members')
  try {
    await write(a, 0, 30)
    await same()
    for (const [i, fault] of faults.entries()) {
      fault(true)
      await Promise.all([write(a, 100 * i, 40), write(b, 100 * i + 50, 40)])
      await put(a, 'apart', `"a ${i}"`)
      await Bun.sleep(5) // of two writes in one millisecond the larger node id wins
      await put(b, 'apart', `"b ${i}"`)
      expect(await (await a.request('/v1/c/apart')).text()).toContain(`a ${i}`)
      // Its connections are gone: what it sends now finds no way.
      await b.restart()
      await write(b, 100 * i + 50, 10)
      fault(false)
      await same()
      expect(await (await a.request('/v1/c/apart')).text()).toContain(`b ${i}`)
    }
  } finally {
    for (const node of nodes) await node.remove()
    await network.stop()
  }
})
