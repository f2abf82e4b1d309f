import { connect, createServer, type Server, type Socket } from 'node:net'

/** A network between a client and a server that a test can cut: a port that passes on to another one. */
export interface Link {
  readonly url: string
  /** `open` passes bytes on. `cut` ends connections and refuses new ones. `silent` keeps both, and passes nothing on. */
  set(state: LinkState): void
  /** Passes on to another port from now on. */
  lead(toUrl: string): void
  stop(): void
}

type LinkState = 'open' | 'cut' | 'silent'

export async function startLink(toUrl: string): Promise<Link> {
  let state: LinkState = 'open'
  let target = toUrl
  const pairs = new Set<readonly [Socket, Socket]>()

  function pass(from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (state === 'open') to.write(bytes)
    })
    from.on('error', () => {})
    from.on('close', () => to.destroy())
  }

  const server: Server = createServer((client) => {
    if (state === 'cut') return void client.destroy()
    const { hostname, port } = new URL(target)
    const other = connect({ host: hostname, port: Number(port) })
    const pair = [client, other] as const
    pairs.add(pair)
    client.on('close', () => pairs.delete(pair))
    pass(client, other)
    pass(other, client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const end = () => {
    for (const [one, other] of pairs) {
      one.destroy()
      other.destroy()
    }
  }
  return {
    url: `http://127.0.0.1:${port}`,
    set(next) {
      state = next
      // What was lost on the way cannot be passed on later.
      if (next !== 'silent') end()
    },
    lead(toAnother) {
      target = toAnother
      end()
    },
    stop() {
      end()
      server.close()
    },
  }
}
