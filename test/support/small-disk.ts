import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { kvistProgram, newFolder } from './server.ts'

/**
 * A small disk of its own: a tmpfs in a mount namespace that a process holds, so it goes away with that process and
 * needs no root where users may make namespaces.
 */
export interface SmallDisk {
  /** The data folder as servers in the namespace see it. */
  readonly dataFolder: string
  /** `kvist serve` in the namespace. */
  readonly command: readonly string[]
  freeBytes(): number
  /** Names in the data folder. */
  files(): string[]
  /** The text of a file in the data folder. */
  textOf(name: string): string
  /** Takes all the room there is but this much. */
  fill(leftBytes?: number): void
  /** Gives back what `fill` took. */
  makeRoom(): void
  remove(): Promise<void>
}

export async function smallDisk(mebibytes: number): Promise<SmallDisk> {
  const folder = newFolder()
  const isRoot = process.getuid?.() === 0
  const mount = `mount -t tmpfs -o size=${mebibytes}m tmpfs "$0" && echo mounted && exec sleep infinity`
  const holder = Bun.spawn(['unshare', isRoot ? '-m' : '-Urm', 'sh', '-c', mount, folder], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const said = await holder.stdout.getReader().read()
  if (said.done) throw new Error('there is no tmpfs to be had: neither as root nor in a user namespace')
  // The same place seen from here.
  const outside = join('/proc', String(holder.pid), 'root', folder)
  const filler = join(outside, 'filler')
  mkdirSync(join(outside, 'data'))
  writeFileSync(filler, '')

  function freeBytes(): number {
    const { bavail, bsize } = statfsSync(outside)
    return bavail * bsize
  }

  return {
    dataFolder: join(folder, 'data'),
    command: [
      'nsenter',
      '-t',
      String(holder.pid),
      ...(isRoot ? ['-m'] : ['-U', '--preserve-credentials', '-m']),
      '--',
      kvistProgram,
      'serve',
    ],
    freeBytes,
    files: () => readdirSync(join(outside, 'data')),
    textOf: (name) => readFileSync(join(outside, 'data', name), 'utf8'),
    fill(leftBytes = 0) {
      const fd = openSync(filler, 'a')
      const block = Buffer.alloc(64 * 1024)
      for (let left = freeBytes() - leftBytes; left > 0; left -= block.length) {
        try {
          writeSync(fd, block, 0, Math.min(block.length, left))
        } catch {
          break // another took the rest
        }
      }
      closeSync(fd)
    },
    makeRoom: () => truncateSync(filler, 0),
    async remove() {
      holder.kill('SIGKILL')
      await holder.exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
