import { rmSync } from 'node:fs'
import { startLoad } from '../support/load.ts'
import { newFolder, startServer } from '../support/server.ts'
import { type Fault, repeatFor } from './fault.ts'

/** `kill -9` at any moment under load: nothing acknowledged is lost, no batch is half done, revisions never repeat. */
export const kills: Fault = {
  name: 'kills',
  does: 'kill -9 under writers of every kind, and compare all that is stored',
  async round({ random, budgetMs }) {
    const dataFolder = newFolder()
    const load = startLoad(() => random.int(2 ** 31) / 2 ** 31)
    try {
      const killed = await repeatFor(budgetMs, async () => {
        const server = await startServer({ dataFolder })
        try {
          await load.verify(server.url)
          const running = load.run(server.url)
          await Bun.sleep(random.oneIn(4) ? 1000 + random.int(1500) : 20 + random.int(480))
          await server.crash()
          await running
        } finally {
          await server.crash()
        }
      })
      const server = await startServer({ dataFolder })
      await load.verify(server.url)
      await server.stop()
      return { kills: killed, acknowledged: load.acknowledged() }
    } finally {
      rmSync(dataFolder, { recursive: true, force: true })
    }
  },
}
