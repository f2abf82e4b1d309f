import { expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import { put } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'
import { openWire, requestBytes, type Wire } from './support/wire.ts'

/** What a process takes of the machine while many clients ask for large values and do not read them. */

const mib = 1024 * 1024
const clientCount = 60
const valueBytes = 15 * mib
const maxResidentMib = 300

function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
}

test(`${clientCount} clients that do not read values of 15 MB leave the process below ${maxResidentMib} MB, and others served`, async () => {
  const dataFolder = newFolder()
  const count = 20
  const storing = await startServer({ dataFolder })
  const values = [`"${'x'.repeat(valueBytes - 2)}"`, new Uint8Array(valueBytes).fill(1)]
  for (let i = 0; i < count; i++) {
    const type = i % 2 === 0 ? 'application/json' : 'a/b'
    await put(`${storing.url}/v1/large/${i}`, values[i % 2]!, { 'content-type': type })
  }
  expect(await storing.stop()).toBe(0)
  const server = await startServer({ dataFolder })
  const unread: Wire[] = []
  let most = 0
  for (let i = 0; i < clientCount; i++) {
    const client = await openWire(server.port)
    client.pause()
    client.write(requestBytes('GET', `/v1/large/${i % count}`))
    unread.push(client)
    most = Math.max(most, residentMib(server.pid))
  }
  for (let i = 0; i < 20; i++) {
    expect((await put(`${server.url}/v1/small/${i}`, '1')).status).toBe(201)
    expect((await fetch(`${server.url}/v1/small/${i}`)).status).toBe(200)
    await Bun.sleep(50)
    most = Math.max(most, residentMib(server.pid))
  }
  for (const client of unread) client.destroy()
  await server.remove()
  rmSync(dataFolder, { recursive: true, force: true })
  expect(most).toBeLessThan(maxResidentMib)
})
