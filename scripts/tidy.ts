/**
 * Checks this project's rules: which modules may import which, how long a file may be, which text is forbidden. `bun
 * scripts/tidy.ts` checks every file that git tracks or would add, prints `file:line rule: what` for each violation,
 * and exits with 1 if there is one. To add a rule, add a row to `rules`.
 */
import { lstatSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import {
  type CodeFinding,
  importCycles,
  importsOf,
  longFunctions,
  type Module,
  namesIn,
  parseModule,
  sharedTypeNames,
  titlesIn,
} from './tidy-code.ts'
import { goneWords, patternOf } from './tidy-words.ts'

const maxFileLines = 600
const maxFunctionLines = 100

/** Functions that may be longer, each with the reason. */
const longFunctionReasons: Readonly<Record<string, string>> = {}

const clockSeams = ['src/runtime/clock.ts', 'sdk/clock.ts', 'console/src/live/now.svelte.ts']

/** The only files that may read the system's clock or run the garbage collector. */
const seams: Readonly<Record<string, readonly string[]>> = {
  'Date.now': [
    'src/serve.ts',
    'src/runtime/wall-clock.ts',
    'console/src/live/now.svelte.ts',
    'packages/kvist-session/sessions.ts',
    'packages/kvist-unstorage/driver.ts',
  ],
  'new Date()': ['src/serve.ts'],
  'performance.now': clockSeams,
  'process.hrtime': clockSeams,
  'Bun.nanoseconds': clockSeams,
  'Bun.gc': ['src/runtime/garbage.ts'],
}

/**
 * Each file or folder with the modules that it may import besides itself. The longest matching path applies to a file,
 * so `src/http/v1` may not import `src/http/dialects`, nor the other way round.
 */
const importTable: Readonly<Record<string, readonly string[] | 'all'>> = {
  sdk: [],
  console: ['sdk'],
  'console/dist': [],
  packages: ['sdk'],
  'src/json': [],
  'src/jsonpath': ['src/json'],
  'src/core': ['src/json', 'src/jsonpath', 'src/core/quantity'],
  'src/core/quantity': [],
  'src/net': ['src/runtime'],
  'src/runtime': [],
  'src/config': [
    'src/options',
    'src/server-options',
    'src/redis-options',
    'src/token-file',
    'src/servers-file',
    'src/cache-options',
    'src/backup-options',
    'src/archive-options',
    'src/tls-options',
  ],
  'src/server-options': [
    'src/core',
    'src/engines/engine-names',
    'src/options',
    'src/option-kinds',
    'src/option-values',
    'src/redis-options',
    'src/token-file',
    'src/servers-file',
    'src/backup-options',
    'src/archive-options',
    'src/tls-options',
  ],
  'src/archive-options': ['src/options', 'src/option-kinds', 'src/option-values'],
  'src/redis-options': [
    'src/engines/engine-names',
    'src/engines/redis/options',
    'src/engines/redis/servers',
    'src/options',
    'src/option-kinds',
    'src/option-values',
  ],
  'src/cache-options': ['src/options'],
  'src/backup-options': ['src/options', 'src/option-kinds', 'src/option-values'],
  'src/tls-options': ['src/options', 'src/option-kinds', 'src/option-values'],
  'src/token-file': ['src/options'],
  'src/servers-file': ['src/options'],
  'src/options': ['src/option-kinds'],
  'src/option-kinds': ['src/core/quantity'],
  'src/option-values': ['src/core', 'src/option-kinds'],
  'src/memory-plan': [],
  'src/engines': [
    'src/core',
    'src/runtime',
    'src/engines/engine-names',
    'src/engines/redis/options',
    'src/engines/redis/servers',
    'src/engines/redis/resp',
  ],
  'src/engines/engine-names': [],
  'src/engines/redis/options': ['src/engines'],
  'src/engines/redis/servers': [],
  'src/engines/redis/resp': [],
  'src/processes': ['src/core', 'src/json'],
  'src/auth': ['src/core'],
  'src/telemetry': ['src/core', 'src/runtime'],
  'src/http': [
    'src/core',
    'src/json',
    'src/net',
    'src/runtime',
    'src/auth',
    'src/telemetry',
    'src/http/wire',
    'src/http/v1',
    'src/http/dialects',
    'console/dist',
  ],
  'src/http/wire': ['src/core', 'src/net', 'src/runtime'],
  'src/http/v1': ['src/core', 'src/json', 'src/auth', 'src/telemetry', 'src/http', 'src/http/wire'],
  'src/http/dialects': ['src/core', 'src/json', 'src/auth', 'src/telemetry', 'src/http', 'src/http/wire'],
  'src/memcached': ['src/core', 'src/net', 'src/auth', 'src/telemetry'],
  'src/replication': ['src/core', 'src/telemetry', 'sdk'],
  'src/importers': ['src/core', 'src/engines/redis/resp'],
  'src/cli': [
    'sdk',
    'src/importers',
    'src/jsonpath',
    'src/runtime',
    'src/server-options',
    'src/options',
    'src/option-kinds',
    'src/option-values',
    'src/token-file',
    'src/replication',
    'src/backup',
    'src/backup-options',
    'src/core',
    'src/cli/serve',
    'src/cli/check',
    'src/cli/repair',
  ],
  'src/cli/check': ['src/engines', 'src/backup', 'src/cli'],
  'src/cli/repair': ['src/engines', 'src/cli', 'src/options', 'src/option-kinds'],
  'src/cli/serve': [
    'sdk',
    'src/runtime',
    'src/config',
    'src/server-options',
    'src/options',
    'src/option-kinds',
    'src/cli',
    'src/serve',
  ],
  'src/main': 'all',
  'src/serve': 'all',
  'src/serve-nodes': [
    'sdk',
    'src/auth',
    'src/config',
    'src/core',
    'src/http/v1',
    'src/options',
    'src/replication',
    'src/telemetry',
    'src/token-file',
  ],
  'src/serve-cache': [
    'src/auth',
    'src/cache-node',
    'src/config',
    'src/core',
    'src/http',
    'src/http/wire',
    'src/memory-plan',
    'src/net',
    'src/observers',
    'src/options',
    'src/running',
    'src/runtime',
    'src/serve-sockets',
    'src/serve-tls',
    'src/telemetry',
    'src/token-file',
  ],
  'src/backup': ['sdk', 'src/core', 'src/engines', 'src/runtime', 'src/telemetry'],
  'src/cache-node': ['src/core', 'src/http', 'src/http/wire', 'src/net', 'src/runtime', 'src/telemetry'],
  'src/running': ['src/core', 'src/telemetry'],
  'src/observers': ['src/config', 'src/http', 'src/telemetry'],
  'src/serve-sockets': ['src/config', 'src/net', 'src/telemetry'],
  'src/serve-engine': ['src/config', 'src/core', 'src/engines', 'src/memory-plan', 'src/redis-options'],
  'src/serve-archive': ['src/backup', 'src/core', 'src/engines'],
  'src/serve-backups': [
    'src/backup',
    'src/config',
    'src/core',
    'src/http',
    'src/http/v1',
    'src/serve-archive',
    'src/serve-engine',
    'src/telemetry',
  ],
  'src/serve-tls': ['src/config', 'src/core', 'src/net', 'src/telemetry'],
}

interface Finding {
  readonly line: number
  readonly what: string
}

type Check = (path: string, text: string) => Finding[]

interface Rule {
  readonly name: string
  readonly appliesTo: (path: string) => boolean
  readonly check: Check
}

const rules: readonly Rule[] = [
  { name: 'import', appliesTo: isProgram, check: strayImports },
  { name: 'length', appliesTo: isProgram, check: tooLong },
  { name: 'barrel', appliesTo: isCode, check: named('index', 'call the file by what is in it') },
  { name: 'barrel', appliesTo: isCode, check: saying(/^export \* from/, 'import the file you mean') },
  { name: 'any', appliesTo: isCode, check: inCode(/\bas any\b/, 'parse, or name the type') },
  {
    name: 'gate',
    appliesTo: isAboveEngines,
    check: inCode(/\bengine\??\.commit\b/, 'writes pass the gate, src/core/writes.ts'),
  },
  { name: 'seam', appliesTo: isProduct, check: outsideSeams },
  { name: 'word', appliesTo: isProse, check: (path, text) => goneWordsIn(path, text) },
  { name: 'unfinished', appliesTo: isCode, check: saying(/\b(TODO|FIXME|XXX)\b/, 'do it, or open an issue') },
  {
    name: 'skipped',
    // needs.ts skips tests that lack a program or a permission; in CI a skipped test fails.
    appliesTo: (path) => isTest(path) && !path.endsWith('/support/needs.ts'),
    check: inCode(/\.(only|skip|todo|skipIf|todoIf)\(/, 'every test runs'),
  },
  {
    name: 'machine',
    appliesTo: isAny,
    check: saying(/(?<![\w.}~*-])\/(work|tmp|home\/\w+|Users\/\w+)\//, 'a path of one machine'),
  },
  {
    name: 'registry',
    appliesTo: isAny,
    check: saying(/\bregistry\.[\w.-]+\.(org|com|net|io|dev)\b/, 'the host of a package registry'),
  },
  {
    name: 'lock',
    appliesTo: (path) => posix.basename(path) === 'package-lock.json',
    check: saying(/"resolved":/, 'npm install --omit-lockfile-registry-resolved leaves the addresses out'),
  },
]

/** Files that quote forbidden text. */
const quotingFiles = ['scripts/tidy.ts', 'scripts/tidy-words.ts', 'scripts/tidy.test.ts']

/** Rules that check all modules of the program together, without tests. */
const rulesTogether: Readonly<Record<string, (modules: readonly Module[]) => CodeFinding[]>> = {
  circle: importCycles,
  function: (modules) => longFunctions(modules, maxFunctionLines, longFunctionReasons),
  // The client, the console and the server may use the same type names.
  type: (modules) => {
    const programs = Map.groupBy(modules, ({ path }) => /^(?:sdk|console)(?=\/)/.exec(path)?.[0] ?? 'server')
    return [...programs.values()].flatMap(sharedTypeNames)
  },
}

/** Checks one file, given its path from the root of the repository, and returns the lines to print. */
export function tidy(path: string, text: string): string[] {
  if (quotingFiles.includes(path)) return []
  return rules
    .filter((rule) => rule.appliesTo(path))
    .flatMap((rule) =>
      rule.check(path, text).map(({ line, what }) => `${path}:${line} ${rule.name}: ${what}`),
    )
}

/** Checks files together, by the rules that need a parser, and returns the lines to print. */
export function tidyTogether(files: readonly { readonly path: string; readonly text: string }[]): string[] {
  const modules = files
    .filter(({ path }) => isProduct(path) && path.endsWith('.ts'))
    .map(({ path, text }) => parseModule(path, text))
  return Object.entries(rulesTogether).flatMap(([name, check]) =>
    check(modules).map(({ path, line, what }) => `${path}:${line} ${name}: ${what}`),
  )
}

function isAny(): boolean {
  return true
}

function isCode(path: string): boolean {
  return /\.([cm]?[jt]sx?|svelte|sh)$/.test(path)
}

/** Returns whether the file is a test, or in the conformance suite of engines. */
function isTest(path: string): boolean {
  return /\.test\.tsx?$/.test(path) || /^(test|src\/engines\/conformance)[/.]/.test(path)
}

/** Returns whether the file is code of kvist, tests beside it included. */
function isProgram(path: string): boolean {
  return isCode(path) && /^(src|sdk|console|packages)\//.test(path)
}

/** Returns whether the file is code of kvist and not a test. */
function isProduct(path: string): boolean {
  return isProgram(path) && !isTest(path)
}

/**
 * Returns whether the text of the file is checked. The change log is not, because it names things by their old names.
 */
function isProse(path: string): boolean {
  return (isCode(path) || /\.(md|ya?ml|json)$/.test(path)) && path !== 'CHANGELOG.md'
}

/** Returns whether the file must not call `Engine.commit`: code outside the engines, except writes.ts. */
function isAboveEngines(path: string): boolean {
  return isProduct(path) && !path.startsWith('src/engines/') && path !== 'src/core/writes.ts'
}

/** Finds the lines that match, comments included. */
function saying(pattern: RegExp, what: string): Check {
  return (_path, text) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [{ line: index + 1, what }] : []))
}

/** Finds the lines that match, comments excluded. */
function inCode(pattern: RegExp, what: string): Check {
  const find = saying(pattern, what)
  return (path, text) => find(path, text.replace(/^[ \t]*(\/\/|\/?\*).*$|[ \t]\/\/ .*$/gm, ''))
}

function named(stem: string, what: string): Check {
  return (path) => (posix.parse(path).name === stem ? [{ line: 1, what }] : [])
}

function tooLong(_path: string, text: string): Finding[] {
  const lines = text.trimEnd().split('\n').length
  return lines > maxFileLines ? [{ line: lines, what: `${lines} lines; split it by ${maxFileLines}` }] : []
}

function strayImports(path: string, text: string): Finding[] {
  if (isTest(path)) return []
  const own = areaOf(path)
  if (own === null) return [{ line: 1, what: `${path} has no row in the import table of scripts/tidy.ts` }]
  const allowed = importTable[own] ?? []
  if (allowed === 'all') return []
  return importsOf(path, text).flatMap(({ line, path: target }) => {
    const area = areaOf(target)
    const isFine = area === null ? target === 'package.json' : area === own || allowed.includes(area)
    return isFine ? [] : [{ line, what: `${own} may not import ${target}` }]
  })
}

function areaOf(path: string): string | null {
  const fitting = Object.keys(importTable).filter(
    (area) => path.startsWith(area) && /^([/.]|$)/.test(path.slice(area.length)),
  )
  return fitting.toSorted((a, b) => b.length - a.length)[0] ?? null
}

function outsideSeams(path: string, text: string): Finding[] {
  return Object.entries(seams).flatMap(([call, files]) => {
    if (files.includes(path)) return []
    const pattern = new RegExp(`\\b${RegExp.escape(call)}`)
    return inCode(pattern, `${call} is for ${files.join(', ')}`)(path, text)
  })
}

/** Finds uses of replaced words; tests pass their own `words`. */
export function goneWordsIn(path: string, text: string, words = goneWords): Finding[] {
  return words.flatMap((gone) => {
    const pattern = patternOf(gone)
    if (!pattern.test(text)) return []
    const what = `${pattern.exec(text)?.[0]}: say ${gone.instead}`
    if (gone.where === 'everywhere') return saying(pattern, what)(path, text)
    if (!/\.[cm]?[jt]s$/.test(path)) return []
    const texts = gone.where === 'titles' ? titlesOf(path, text) : namesIn(path, text)
    return texts.flatMap(({ name, line }) => (pattern.test(name) ? [{ line, what }] : []))
  })
}

function titlesOf(path: string, text: string) {
  return isTest(path) ? titlesIn(text) : []
}

function filesOfRepository(root: string): string[] {
  // The checkout may belong to another user than the one that runs the checks, as in a container.
  const git = [
    'git',
    '-c',
    'safe.directory=*',
    'ls-files',
    '-z',
    '--cached',
    '--others',
    '--exclude-standard',
  ]
  const listed = Bun.spawnSync(git, { cwd: root, stderr: 'inherit' })
  if (!listed.success) throw new Error('git could not list the files of this repository')
  // A file with a conflict is listed several times.
  const paths = [...new Set(listed.stdout.toString().split('\0'))]
  return paths.filter((path) => lstatSync(join(root, path), { throwIfNoEntry: false })?.isFile())
}

function isText(bytes: Buffer): boolean {
  return !bytes.subarray(0, 8192).includes(0)
}

if (import.meta.main) {
  const root = join(import.meta.dir, '..')
  const files = filesOfRepository(root).flatMap((path) => {
    const bytes = readFileSync(join(root, path))
    return isText(bytes) ? [{ path, text: bytes.toString() }] : []
  })
  const found = [...files.flatMap(({ path, text }) => tidy(path, text)), ...tidyTogether(files)]
  for (const line of found) console.log(line)
  process.exitCode = found.length === 0 ? 0 : 1
}
