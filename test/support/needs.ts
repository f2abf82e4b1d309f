import * as bun from 'bun:test'
import { tmpdir } from 'node:os'

/** What some tests need of the machine, and how to see whether it has it. */
const needs = {
  adduser: () => Bun.which('adduser') !== null,
  chromium: () => chromiumPath() !== null,
  wholeChromium: () => Bun.which('chromium') !== null,
  curl: () => Bun.which('curl') !== null,
  lintian: () => Bun.which('lintian') !== null,
  etcd: () => Bun.which('etcd') !== null,
  memcapable: () => Bun.which('memccapable') !== null,
  memcached: () => Bun.which('memcached') !== null,
  openssl: () => Bun.which('openssl') !== null,
  prometheus: () => Bun.which('prometheus') !== null,
  python3: () => Bun.which('python3') !== null,
  pymemcache: () => succeeds('/usr/bin/python3', '-c', 'import pymemcache'),
  /** A server with a process and a data folder, which the fast tier does not start; see `startServer`. */
  process: () => process.env.KVIST_TEST_SERVER !== 'in-process',
  /** Mounts that others do not see: for root, and for others where they may make namespaces. */
  namespaces: () => mounts('-m') || mounts('-Urm'),
  /** A root whose changes are in memory; for root alone. */
  overlay: () => process.getuid?.() === 0 && overlays(),
  /** Version 7 or later, as Debian has it. */
  redis: () => succeeds('sh', '-c', 'redis-server --version | grep -qE " v=([7-9]|[1-9][0-9])\\."'),
  /** Networks that others do not see, and `ip` to lay them out. */
  networkNamespaces: () => Bun.which('ip') !== null && (lays('-n') || lays('-Urn')),
  strace: () => Bun.which('strace') !== null,
  systemd: () => Bun.which('systemd-analyze') !== null,
}

export type Need = keyof typeof needs

/**
 * The functions of `bun:test` for tests that need more than npm can bring: where something is missing they are skipped,
 * and what is prepared for them is not. scripts/test.mjs installs what it can, names what was skipped, and in CI fails.
 */
export function needing(...names: readonly Need[]): Pick<typeof bun, 'test' | 'beforeAll' | 'afterAll'> {
  if (names.every((name) => needs[name]())) return bun
  return { test: bun.test.skipIf(true) as typeof bun.test, beforeAll() {}, afterAll() {} }
}

/** The browser for tests: Debian's shell without windows takes half of the processor time of the whole one. */
export function chromiumPath(): string | null {
  return Bun.which('chromium-headless-shell') ?? Bun.which('chromium')
}

/** Whether the machine has it, for what defines its tests by itself. */
export function has(name: Need): boolean {
  return needs[name]()
}

function mounts(namespace: string): boolean {
  return succeeds('unshare', namespace, 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir())
}

function overlays(): boolean {
  const options = 'lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work'
  const script = `mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir root upper work && mount -t overlay overlay -o ${options} root`
  return succeeds('unshare', '-m', 'sh', '-c', script)
}

function lays(namespace: string): boolean {
  return succeeds('unshare', namespace, 'ip', 'link', 'add', 'end', 'type', 'veth', 'peer', 'other-end')
}

function succeeds(...command: readonly string[]): boolean {
  try {
    return Bun.spawnSync([...command], { stdout: 'ignore', stderr: 'ignore' }).success
  } catch {
    return false
  }
}
