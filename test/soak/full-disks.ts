import { startLoad } from '../support/load.ts'
import { startServer } from '../support/server.ts'
import { smallDisk } from '../support/small-disk.ts'
import { type Fault, repeatFor } from './fault.ts'

/** A disk that is full again and again, with kills in between: nothing acknowledged is lost, and writes come back. */
export const fullDisks: Fault = {
  name: 'full-disks',
  does: 'a small disk that fills up under writers, gets room again, and a server that is killed in either state',
  needs: 'namespaces',
  async round({ random, budgetMs }) {
    const disk = await smallDisk(192)
    const load = startLoad(() => random.int(2 ** 31) / 2 ** 31)
    const { dataFolder, command } = disk
    let starts = 0
    try {
      await repeatFor(budgetMs, async () => {
        disk.makeRoom()
        const server = await startServer({ dataFolder, command })
        starts++
        try {
          await load.verify(server.url)
          const running = load.run(server.url)
          await Bun.sleep(random.int(300))
          disk.fill(random.int(24) * 1024 * 1024)
          await Bun.sleep(100 + random.int(900))
          if (random.oneIn(2)) disk.makeRoom()
          await Bun.sleep(random.int(200))
          load.end()
          await server.crash()
          await running
        } finally {
          await server.crash()
        }
      })
      disk.makeRoom()
      const server = await startServer({ dataFolder, command })
      await load.verify(server.url).finally(() => server.crash())
      return { starts, acknowledged: load.acknowledged() }
    } finally {
      await disk.remove()
    }
  },
}
