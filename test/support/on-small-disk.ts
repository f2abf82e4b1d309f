/** Ways to a file system of a few MB that nobody else sees: as root, and as anybody. */
const namespaces = [
  ['unshare', '--mount'],
  ['unshare', '--user', '--map-root-user', '--mount'],
]

/** Runs a command with a small file system mounted on a folder. */
export function onSmallDisk(disk: string, sizeKib: number, command: readonly string[]): string {
  const mount = `mount -t tmpfs -o size=${sizeKib}k kvist "$1" && shift && exec "$@"`
  const namespace = namespaces.find(
    (unshare) => Bun.spawnSync([...unshare, 'sh', '-c', mount, 'sh', disk, 'true']).success,
  )
  if (namespace === undefined) {
    throw new Error(
      'cannot mount a small file system, which this test needs: run it as root, or where unshare --user is allowed',
    )
  }
  const done = Bun.spawnSync([...namespace, 'sh', '-c', mount, 'sh', disk, ...command])
  if (done.stderr.length > 0) throw new Error(done.stderr.toString())
  return done.stdout.toString()
}
