import { parseConfig } from '../../src/config.ts'
import { serve } from '../../src/serve.ts'

/** All of `kvist serve` in the process of the test, on the memory engine, with a clock that the test may give. */
export interface ServerInProcess {
  readonly url: string
  readonly port: number
  /** What it has logged so far. */
  output(): string
  /** Does nothing when it has stopped. */
  stop(): Promise<void>
}

export interface InProcessOptions {
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly now?: () => number
}

export async function serveInProcess(options: InProcessOptions = {}): Promise<ServerInProcess> {
  const { flags = [], env = {}, now = Date.now } = options
  const config = parseConfig(['--port', '0', '--engine', 'memory', '--stop-timeout', '0s', ...flags], env)
  let output = ''
  const write = (line: string) => {
    output += line
  }
  const running = await serve(config, { now, log: { readable: false, write } })
  let stopped: Promise<void> | undefined
  return {
    url: running.url,
    port: Number(new URL(running.url).port),
    output: () => output,
    stop() {
      stopped ??= running.stop()
      return stopped
    },
  }
}
