import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { YAML } from 'bun'

/** A Prometheus that runs, of Debian's package. */
export interface Prometheus {
  /** What its API returns, the part called `data`. Throws when it refuses. */
  ask(path: string, parameters?: Readonly<Record<string, string>>): Promise<unknown>
  stop(): Promise<void>
}

/** Starts it on a free port, with its data in the folder. Throws with what it said when it ends instead. */
export async function startPrometheus(folder: string, config: object): Promise<Prometheus> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'prometheus.yml')
  writeFileSync(file, YAML.stringify(config, null, 2))
  const child = Bun.spawn(
    [
      'prometheus',
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      '--web.listen-address=127.0.0.1:0',
      '--log.format=json',
    ],
    { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' },
  )
  const url = await new Promise<string>((resolve, reject) => {
    let said = ''
    const reading = (async () => {
      const decoder = new TextDecoder()
      for await (const part of child.stderr) {
        said += decoder.decode(part, { stream: true })
        const address = /"address":"(127\.0\.0\.1:\d+)".*"Listening on"/.exec(said)?.[1]
        if (address !== undefined) resolve(`http://${address}`)
      }
    })()
    reading.then(() => reject(new Error(`Prometheus ended: ${said}`)))
  })
  // It listens before it has looked at its data.
  while (!(await fetch(`${url}/-/ready`)).ok) await Bun.sleep(20)

  return {
    async ask(path, parameters = {}) {
      const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
      const reply: unknown = await response.json()
      if (typeof reply !== 'object' || reply === null || !('data' in reply)) {
        throw new Error(`${path} ${JSON.stringify(parameters)}: ${JSON.stringify(reply)}`)
      }
      return reply.data
    },
    async stop() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}
