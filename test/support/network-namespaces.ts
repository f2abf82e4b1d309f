import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { kvistProgram, newFolder } from './server.ts'

/**
 * Two machines, as far as their network is concerned: each is a network namespace, and a cable is between them. A process
 * holds the namespaces, so they go away with it; root is not needed where users may make namespaces.
 */
export interface TwoMachines {
  readonly machines: readonly [Machine, Machine]
  /** Takes the cable out, or puts it in. Both machines notice. */
  setCable(isIn: boolean): void
  stop(): Promise<void>
}

export interface Machine {
  /** In the network of the two. */
  readonly address: string
  /** Returns the command that runs another on this machine. */
  inside(...command: readonly string[]): readonly string[]
  /** `kvist serve` on this machine. */
  readonly command: readonly string[]
  /** What this machine sends to the other is lost on the way, and neither notices. */
  setSilent(isSilent: boolean): void
  /** Returns an URL by which the test reaches a port of this machine. */
  reach(port: number): Promise<{ readonly socket: string }>
}

const isRoot = process.getuid?.() === 0
const forwarder = join(import.meta.dir, 'socket-forwarder.ts')
const bun = join(import.meta.dir, '../../node_modules/.bin/bun')

export async function twoMachines(): Promise<TwoMachines> {
  const folder = newFolder()
  const children: Bun.Subprocess[] = []

  async function hold(): Promise<number> {
    const unshare = [
      'unshare',
      isRoot ? '-n' : '-Urn',
      'sh',
      '-c',
      'ip link set lo up && echo up && exec sleep infinity',
    ]
    const holder = Bun.spawn(unshare, { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' })
    children.push(holder)
    if ((await holder.stdout.getReader().read()).done)
      throw new Error('there is no network namespace to be had')
    return holder.pid
  }

  const pids = [await hold(), await hold()] as const
  const inside = (pid: number, ...command: readonly string[]) => {
    const users = isRoot ? [] : ['-U', '--preserve-credentials']
    return ['nsenter', '-t', String(pid), ...users, '-n', '--', ...command]
  }
  const run = (command: readonly string[]) => {
    const { success, stderr } = Bun.spawnSync([...command])
    if (!success) throw new Error(`${command.join(' ')}: ${stderr}`)
  }
  run(
    inside(
      pids[0],
      'ip',
      'link',
      'add',
      'cable',
      'type',
      'veth',
      'peer',
      'name',
      'cable',
      'netns',
      String(pids[1]),
    ),
  )
  for (const [i, pid] of pids.entries()) {
    run(inside(pid, 'ip', 'address', 'add', `${addressOf(i)}/24`, 'dev', 'cable'))
    run(inside(pid, 'ip', 'link', 'set', 'cable', 'up'))
  }

  function machine(at: 0 | 1): Machine {
    const pid = pids[at]
    const neighbor = (...given: readonly string[]) =>
      run(inside(pid, 'ip', 'neighbor', ...given, 'dev', 'cable'))
    return {
      address: addressOf(at),
      inside: (...command) => inside(pid, ...command),
      command: inside(pid, kvistProgram, 'serve', '--host', addressOf(at), '--no-auth'),
      setSilent(isSilent) {
        // Frames to a card that is not there.
        if (isSilent)
          neighbor('replace', addressOf(1 - at), 'lladdr', '02:00:00:00:00:99', 'nud', 'permanent')
        else neighbor('del', addressOf(1 - at))
      },
      async reach(port) {
        const socket = join(folder, `machine-${at}-${port}`)
        const child = Bun.spawn(
          inside(pid, bun, '--no-env-file', forwarder, socket, addressOf(at), String(port)),
          {
            stdin: 'ignore',
            stdout: 'pipe',
            stderr: 'inherit',
          },
        )
        children.push(child)
        await child.stdout.getReader().read()
        return { socket }
      },
    }
  }

  return {
    machines: [machine(0), machine(1)],
    setCable: (isIn) => run(inside(pids[0], 'ip', 'link', 'set', 'cable', isIn ? 'up' : 'down')),
    async stop() {
      for (const child of children) child.kill('SIGKILL')
      await Promise.all(children.map(({ exited }) => exited))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function addressOf(machine: number): string {
  return `10.77.0.${machine + 1}`
}
