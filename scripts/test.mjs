/**
 * `npm test`: every check there is, one after the other, and a plain count as the last line. With arguments, as in
 * `npm test -- src/core`, only the tests that `bun test` finds for them.
 *
 * The count comes from the report that `bun test` writes, not from its exit code: a test that ends the process with
 * `process.exit(0)` leaves a good exit code and no report. For the same reason every test file must be in the report.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Programs that tests run and that npm cannot bring: Debian packages, installed when they are missing. */
const debianPackages = [
  'chromium',
  'libmemcached-tools',
  'memcached',
  'prometheus',
  'python3-pymemcache',
  'strace',
  'systemd',
]

const knip = ['knip', '--no-progress', '--no-config-hints']
const checks = [
  { name: 'types', command: ['tsc', '-p', '.'] },
  { name: 'lint', command: ['biome', 'ci', '--colors=off', '--error-on-warnings', '.'] },
  { name: 'unused', command: knip },
  { name: 'unused but by tests', command: [...knip, '--production', '--include', 'files,dependencies'] },
  { name: 'tidy', command: ['bun', '--no-env-file', 'scripts/tidy.ts'] },
]

const testFolders = ['src', 'sdk', 'test', 'bench', 'scripts']

/** For one test; also for a crash test on a busy machine. */
const testTimeoutMs = 60_000
/** For all of them: what hangs is ended, and counts as failed. */
const suiteTimeoutMs = 20 * 60_000
/** Test files that run at once; more would only wait for the same disk. */
const maxParallelFiles = 8

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const filters = process.argv.slice(2)
const env = cleanEnvironment()
let passed = 0
let failed = 0

installDebianPackages()
if (filters.length === 0) for (const check of checks) runCheck(check)
runTests()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/** What a developer has set for a kvist of their own must not reach the ones under test. */
function cleanEnvironment() {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('KVIST_'))
  const path = `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`
  return { ...Object.fromEntries(own), PATH: path }
}

function runCheck({ name, command: [program, ...args] }) {
  const startedMs = Date.now()
  const done = spawnSync(program, args, { cwd: root, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const ok = done.status === 0
  tell(name, ok, startedMs)
  if (!ok) console.log(done.error ? done.error.message : `${done.stdout}${done.stderr}`.trimEnd())
  count(ok)
}

function runTests() {
  const startedMs = Date.now()
  const before = failed
  // Whatever tests leave in the system's folder for temporary files, those that were killed above all, goes with it.
  const ownFolder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  // Some tests run programs as another user.
  chmodSync(ownFolder, 0o755)
  const reportPath = join(ownFolder, 'junit.xml')
  // When this process is killed, `--no-orphans` ends the tests and whatever servers they have started.
  const done = spawnSync(
    'bun',
    [
      '--no-env-file',
      '--no-orphans',
      'test',
      `--parallel=${Math.min(availableParallelism(), maxParallelFiles)}`,
      `--timeout=${testTimeoutMs}`,
      '--reporter=junit',
      `--reporter-outfile=${reportPath}`,
      ...(filters.length === 0 ? ['--only-failures'] : filters),
    ],
    {
      cwd: root,
      env: { ...env, TMPDIR: ownFolder },
      stdio: ['ignore', 'inherit', 'inherit'],
      timeout: suiteTimeoutMs,
      killSignal: 'SIGKILL',
    },
  )
  const report = readReport(reportPath)
  rmSync(ownFolder, { recursive: true, force: true })

  if (report === null) broken('bun test ended without a report')
  else countReport(report)
  if (done.error) broken(`bun test: ${done.error.message}`)
  // An error outside of any test is in the exit code alone.
  else if (done.status !== 0 && failed === before) broken(`bun test ended with ${done.signal ?? done.status}`)
  tell('tests', failed === before, startedMs)
}

function countReport({ tests, failures, skipped, files }) {
  passed += tests - failures - skipped
  failed += failures
  if (tests === 0) broken('no tests were run')
  // Under a filter bun reports the tests that it left out as skipped, and most files not at all.
  if (filters.length > 0) return
  for (let left = skipped; left > 0; left--) broken('a test was skipped')
  for (const file of testFiles()) if (!files.has(file)) broken(`${file}: none of its tests were run`)
}

function readReport(path) {
  let xml
  try {
    xml = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  const head = /<testsuites\b[^>]*>/.exec(xml)?.[0]
  if (head === undefined) return null
  const number = (name) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1])
  const files = new Set([...xml.matchAll(/<testsuite\b[^>]* file="([^"]*)"/g)].map((match) => match[1]))
  return { tests: number('tests'), failures: number('failures'), skipped: number('skipped'), files }
}

function testFiles() {
  return readdirSync(root)
    .filter((name) => testFolders.includes(name))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true }).map((name) => `${folder}/${name}`),
    )
    .filter((path) => /\.(test|spec)\.[cm]?[jt]sx?$/.test(path))
}

function installDebianPackages() {
  const missing = debianPackages.filter((name) => {
    const asked = spawnSync('dpkg', ['--status', name], { encoding: 'utf8' })
    return !asked.stdout?.includes('Status: install ok installed')
  })
  if (missing.length === 0) return
  const startedMs = Date.now()
  const isRoot = process.getuid?.() === 0
  const ok =
    isRoot && aptGet(['update']) && aptGet(['install', '--yes', '--no-install-recommends', ...missing])
  tell(`installing ${missing.join(' ')}`, ok, startedMs)
  if (!ok) broken(`the tests need these Debian packages: apt-get install ${missing.join(' ')}`)
}

function aptGet(args) {
  const done = spawnSync('apt-get', ['--quiet', ...args], {
    env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
  })
  if (done.status !== 0) console.log(done.error ? done.error.message : done.stderr.trimEnd())
  return done.status === 0
}

function tell(name, ok, startedMs) {
  console.log(`${name}: ${ok ? 'ok' : 'FAILED'} (${((Date.now() - startedMs) / 1000).toFixed(1)} s)`)
}

/** What went wrong beyond a test that failed. */
function broken(what) {
  console.log(`failed: ${what}`)
  count(false)
}

function count(ok) {
  if (ok) passed += 1
  else failed += 1
}
