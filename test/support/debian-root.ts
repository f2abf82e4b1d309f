import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from './spawn.ts'

/** A root in which packages can be installed, seen by nobody else, and gone when its holder ends. */
export interface DebianRoot {
  /** The words that run a command in it, as root or as a user. */
  command(words: readonly string[], user?: string): string[]
  /** Runs a command in it, and returns what it prints. Throws if it fails. */
  run(...words: readonly string[]): Promise<string>
  remove(): Promise<void>
}

/**
 * A new root: what this machine has, with changes in memory alone, or with `isClean` the essential packages of Debian and
 * nothing else. `shared` is a folder that is seen in it as /shared.
 */
export async function openDebianRoot(shared: string, isClean: boolean): Promise<DebianRoot> {
  const fill = isClean
    ? `mkdir root && tar --extract --directory=root --file='${await cleanRootTar()}'`
    : 'mkdir root upper work && mount -t overlay overlay -o lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work root'
  const script = `set -e
    mount -t tmpfs -o mode=755 tmpfs /mnt && cd /mnt
    ${fill}
    mount -t proc proc root/proc && mount --bind /dev root/dev
    mkdir root/shared && mount --bind '${shared}' root/shared
    echo ready && exec sleep infinity`
  const holder = Bun.spawn(['unshare', '--mount', 'sh', '-c', script], { stdout: 'pipe', stderr: 'pipe' })
  const said = await holder.stdout.getReader().read()
  if (said.done) throw new Error(`there is no root: ${await holder.stderr.text()}`)
  const inRoot = ['nsenter', '--mount', `--target=${holder.pid}`, '--', 'chroot']
  const command = (words: readonly string[], user = 'root') => [
    ...inRoot,
    `--userspec=${user}:${user}`,
    '/mnt/root',
    'env',
    '-i',
    'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    'DEBIAN_FRONTEND=noninteractive',
    ...words,
  ]
  return {
    command,
    async run(...words) {
      const { exitCode, stdout, stderr } = await runToEnd(command(words))
      if (exitCode !== 0) throw new Error(`${words.join(' ')} ended with ${exitCode}: ${stdout}${stderr}`)
      return stdout
    },
    async remove() {
      holder.kill('SIGKILL')
      await holder.exited
    },
  }
}

/** Returns the archive of a clean root, which is made once. */
async function cleanRootTar(): Promise<string> {
  const cache = join(import.meta.dir, '../../.cache')
  const tar = join(cache, 'debian-root.tar')
  if (existsSync(tar)) return tar
  mkdirSync(cache, { recursive: true })
  const command = [
    'mmdebstrap',
    '--quiet',
    '--variant=essential',
    '--include=adduser',
    'bookworm',
    `${tar}.new.tar`,
  ]
  const sources = ['/etc/apt/sources.list', '/etc/apt/sources.list.d/debian.sources'].filter((path) =>
    existsSync(path),
  )
  const { exitCode, stderr } = await runToEnd([...command, ...sources])
  if (exitCode !== 0) throw new Error(`there is no clean root: ${stderr}`)
  renameSync(`${tar}.new.tar`, tar)
  return tar
}
