import { spawnSync } from 'node:child_process'

/** Programs that tests run and that npm cannot bring. test/support/needs.ts skips what has to do without. */
const debianPackages = [
  'adduser',
  'chromium',
  'chromium-headless-shell',
  'curl',
  'etcd-server',
  'iproute2',
  'libmemcached-tools',
  'memcached',
  'openssl',
  'prometheus',
  'python3-pymemcache',
  'redis-server',
  'strace',
  'systemd',
]

/** Installs the packages that are missing, as root on Debian; returns those that are missing after that. */
export function installDebianPackages(env) {
  const missing = missingPackages()
  if (missing.length === 0 || process.getuid?.() !== 0) return missing
  const ok =
    aptGet(env, ['update']) && aptGet(env, ['install', '--yes', '--no-install-recommends', ...missing])
  return ok ? [] : missing
}

function missingPackages() {
  return debianPackages.filter((name) => {
    const asked = spawnSync('dpkg', ['--status', name], { encoding: 'utf8' })
    return !asked.stdout?.includes('Status: install ok installed')
  })
}

function aptGet(env, args) {
  const done = spawnSync('apt-get', ['--quiet', ...args], {
    env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
  })
  if (done.status !== 0) console.log(done.error ? done.error.message : done.stderr.trimEnd())
  return done.status === 0
}
