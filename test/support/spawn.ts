/** What a program is run with, where that is not what this process has; without `stdin` it reads nothing. */
interface SpawnOptions {
  readonly cwd?: string
  readonly env?: Record<string, string | undefined>
  readonly stdin?: Blob
}

interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, however that is. */
export async function runToEnd(command: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  const child = Bun.spawn([...command], { ...options, stdout: 'pipe', stderr: 'pipe' })
  const [stdout, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { exitCode, stdout, stderr }
}

/** What a program prints. Throws with all that it wrote when it does not end with 0. */
export async function outputOf(command: readonly string[], options: SpawnOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await runToEnd(command, options)
  if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${exitCode}: ${stdout}${stderr}`)
  return stdout
}
