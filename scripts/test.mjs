/**
 * `npm test`: every check there is, beside the tests, and a plain count as the last line. `npm run test:fast` leaves out
 * what test-tiers.mjs says. With arguments, as in `npm test -- src/core`, only the tests that `bun test` finds for them.
 *
 * A run that passes says one line a stage; what tests print is shown when one has failed. The count comes from the report
 * that `bun test` writes, not from its exit code: a test that ends the process with `process.exit(0)` leaves a good exit
 * code and no report. For the same reason every test file must be in the report.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, setPriority, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installDebianPackages } from './test-packages.mjs'
import { buildTestProgram } from './test-program.mjs'
import { lackingIn, readReport, skippedTests } from './test-report.mjs'
import { longest, testFiles } from './test-tiers.mjs'

const knip = ['knip', '--no-progress', '--no-config-hints']
const checks = [
  // More checkers do the same work twice, and the tests need the other cores.
  { name: 'types', command: ['tsc', '-p', '.', '--checkers', '1'], isFast: true },
  { name: 'lint', command: ['biome', 'ci', '--colors=off', '--error-on-warnings', '.'], isFast: true },
  {
    name: 'console',
    command: [
      'svelte-check',
      // In less than half of the processor time.
      '--tsgo',
      '--workspace',
      'console',
      '--tsconfig',
      './tsconfig.json',
      '--fail-on-warnings',
    ],
    isFast: true,
  },
  { name: 'unused', command: knip },
  { name: 'unused but by tests', command: [...knip, '--production', '--include', 'files,dependencies'] },
  { name: 'tidy', command: ['bun', '--no-env-file', 'scripts/tidy.ts'], isFast: true },
]

/** For one test that hangs; the slowest takes a tenth of it, and ten times as long where the machine is busy with other work. */
const testTimeoutMs = 240_000
/** For all of them: what hangs is ended, and counts as failed. */
const suiteTimeoutMs = 20 * 60_000
/** Test files that run at once: two more than there are cores, for many wait for a disk, a process or a time. */
const parallelFiles = Math.min(availableParallelism() + 2, 8)
const maxOutputLength = 64 * 1024 * 1024
/** How much the checks give way to the tests, by the scale of `nice`: they take what is left while tests wait. */
const checksNice = 5

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const isFast = process.argv[2] === '--fast'
const filters = process.argv.slice(isFast ? 3 : 2)
/** There everything has to run; elsewhere a developer may lack what tests need. */
const isCi = !['', 'false', '0'].includes(process.env.CI ?? '')
const env = cleanEnvironment()
let passed = 0
let failed = 0

const missing = isFast ? [] : installDebianPackages(env)
const checked = filters.length === 0 ? runChecks(checks.filter((check) => check.isFast || !isFast)) : null
await Promise.all([checked, runTests()])
if (missing.length > 0) console.log(`tests need these Debian packages: apt-get install ${missing.join(' ')}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/** What a developer has set for a kvist of their own must not reach the ones under test. */
function cleanEnvironment() {
  const own = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('KVIST_') || name === 'KVIST_SEED',
  )
  const path = `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`
  const tier = isFast ? { KVIST_TEST_SERVER: 'in-process' } : {}
  return { ...Object.fromEntries(own), ...tier, PATH: path }
}

/** Runs all at once, and reports them in their order. */
async function runChecks(all) {
  const running = all.map(runCheck)
  for (const check of running) {
    const { name, ok, seconds, output } = await check
    print(name, ok, seconds)
    if (!ok) console.log(output.trimEnd())
    count(ok)
  }
}

function runCheck({ name, command: [program, ...args] }) {
  const startedMs = Date.now()
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    setPriority(child.pid, checksNice)
  } catch {
    // It was not started, which `error` says below, or has ended.
  }
  const output = outputOf(child)
  return new Promise((resolve) => {
    const end = (ok, text) => resolve({ name, ok, seconds: secondsSince(startedMs), output: text })
    child.on('error', (error) => end(false, error.message))
    child.on('close', (code) => end(code === 0, output()))
  })
}

async function runTests() {
  const startedMs = Date.now()
  // Whatever tests leave in the system's folder for temporary files, those that were killed above all, goes with it.
  const ownFolder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  // Some tests run programs as another user.
  chmodSync(ownFolder, 0o755)
  const reportPath = join(ownFolder, 'junit.xml')
  const files = testFiles(root, isFast)
  const timingsPath = join(ownFolder, 'timings.json')
  // The order is what counts.
  const timings = Object.fromEntries(longest.map((file, i) => [file, (longest.length - i) * 1000]))
  writeFileSync(timingsPath, JSON.stringify({ version: 1, files: timings }))
  const isQuiet = filters.length === 0
  const own = { ...env, TMPDIR: ownFolder, ...(isQuiet && !isFast ? await programVariables(ownFolder) : {}) }
  // When this process is killed, `--no-orphans` ends the tests and whatever servers they have started.
  const args = [
    '--no-env-file',
    '--no-orphans',
    'test',
    `--parallel=${parallelFiles}`,
    `--timings=${timingsPath}`,
    `--timeout=${testTimeoutMs}`,
    '--reporter=junit',
    `--reporter-outfile=${reportPath}`,
    ...(isQuiet ? ['--only-failures', ...files.map((file) => `./${file}`)] : filters),
  ]
  const done = await runBun(args, own, isQuiet)
  const report = readReport(reportPath)
  rmSync(ownFolder, { recursive: true, force: true })

  // Checks count meanwhile, but not from here on.
  const before = failed
  if (isQuiet && (done.status !== 0 || report === null || report.failures > 0)) {
    console.log(done.output.trimEnd())
  }
  if (report === null) broken('bun test ended without a report')
  else countReport(report, files)
  if (done.error) broken(`bun test: ${done.error.message}`)
  // An error outside of any test is in the exit code alone.
  else if (done.status !== 0 && failed === before) broken(`bun test ended with ${done.signal ?? done.status}`)
  print('tests', failed === before, secondsSince(startedMs))
}

/** The variables that name the program under test; without them tests run `bin/kvist`. For a few files it is not worth its build. */
async function programVariables(folder) {
  const startedMs = Date.now()
  const { variables, output } = await buildTestProgram(root, env, folder)
  print('build', variables !== null, secondsSince(startedMs))
  count(variables !== null)
  if (variables === null) console.log(output.trimEnd())
  return variables ?? {}
}

/** Runs to its end, or until its time is up; a run that is quiet returns what was printed. */
function runBun(args, ownEnv, isQuiet) {
  const child = spawn('bun', args, {
    cwd: root,
    env: ownEnv,
    stdio: ['ignore', ...(isQuiet ? ['pipe', 'pipe'] : ['inherit', 'inherit'])],
    timeout: suiteTimeoutMs,
    killSignal: 'SIGKILL',
  })
  const output = isQuiet ? outputOf(child) : () => ''
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ status: null, signal: null, error, output: output() }))
    child.on('close', (status, signal) => resolve({ status, signal, output: output() }))
  })
}

/** What a program has printed so far, of which all that is beyond a limit is left out. */
function outputOf({ stdout, stderr }) {
  let output = ''
  for (const stream of [stdout, stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text) => {
      if (output.length < maxOutputLength) output += text
    })
  }
  return () => output
}

function countReport(report, expected) {
  passed += report.tests - report.failures - skippedTests(report)
  failed += report.failures
  // Under a filter bun reports the tests that it left out as skipped, and most files not at all.
  if (filters.length > 0) {
    if (report.tests === 0) broken('no tests were run')
    return
  }
  const { faults, leftOut } = lackingIn(report, expected, { isFast, isCi })
  for (const fault of faults) broken(fault)
  for (const line of leftOut) console.log(`left out: ${line}`)
}

function print(name, ok, seconds) {
  console.log(`${name}: ${ok ? 'ok' : 'FAILED'} (${seconds.toFixed(1)} s)`)
}

function secondsSince(startedMs) {
  return (Date.now() - startedMs) / 1000
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
