import { connect, type Socket } from 'node:net'
import { kvistProgram, newFolder, startServer } from '../support/server.ts'
import { type Fault, repeatFor } from './fault.ts'

/** More idle connections than the process may open files: a client that is connected goes on reading and writing. */
export const descriptors: Fault = {
  name: 'descriptors',
  does: 'idle connections past the limit on open files, while one client writes',
  async round({ random, budgetMs }) {
    const figures = { connections: 0, writes: 0 }
    await repeatFor(budgetMs, async () => {
      const limit = 200 + random.int(200)
      const command = ['sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh', kvistProgram, 'serve']
      const server = await startServer({ dataFolder: newFolder(), command })
      const idle: Socket[] = []
      try {
        for (let i = 0; i < limit + 60; i++) {
          const socket = connect(server.port, '127.0.0.1')
          socket.on('error', () => {})
          idle.push(socket)
          figures.connections++
          if (i % 10 !== 0) continue
          const put = await fetch(`${server.url}/v1/c/k`, { method: 'PUT', body: `${i}` })
          if (!put.ok) throw new Error(`with ${i} connections: ${put.status} ${await put.text()}`)
          figures.writes++
          const got = await (await fetch(`${server.url}/v1/c/k`)).text()
          if (got !== `${i}`) throw new Error(`with ${i} connections ${i} is read as ${got}`)
        }
      } finally {
        for (const socket of idle) socket.destroy()
        await server.crash()
      }
    })
    return figures
  },
}
