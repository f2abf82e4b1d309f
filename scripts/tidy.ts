/**
 * The rules of this house that code can check: who may import whom, how long a file may be, what must not be written.
 * `bun scripts/tidy.ts` looks at every file that git knows or would add, prints `file:line rule: what` for each
 * breach, and exits with 1 when there is one. To add a rule, add a row to `rules`.
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
} from './tidy-code.ts'
import { goneWords, patternOf } from './tidy-words.ts'

const maxFileLines = 600
const maxFunctionLines = 100

/** Functions that are longer, and why that is better than two of them. */
const longFunctionReasons: Readonly<Record<string, string>> = {}

const clockSeams = ['src/runtime/clock.ts', 'sdk/clock.ts']

/** The only files that may ask the system for the time, or have it collect garbage. */
const seams: Readonly<Record<string, readonly string[]>> = {
  'Date.now': ['src/serve.ts'],
  'new Date()': ['src/serve.ts'],
  'performance.now': clockSeams,
  'process.hrtime': clockSeams,
  'Bun.nanoseconds': clockSeams,
  'Bun.gc': ['src/runtime/garbage.ts'],
}

/**
 * A file or folder of ours, and what it may import besides itself. The longest row that fits a file is its own, so
 * `src/http/v1` does not see `src/http/dialects`, nor the other way round.
 */
const importTable: Readonly<Record<string, readonly string[] | 'all'>> = {
  sdk: [],
  console: ['sdk'],
  'src/json': [],
  'src/core': ['src/json'],
  'src/net': ['src/runtime'],
  'src/runtime': [],
  'src/config': ['src/core', 'src/engines/engine-names', 'src/options', 'src/option-kinds'],
  'src/options': ['src/option-kinds'],
  'src/option-kinds': [],
  'src/memory-plan': [],
  'src/engines': ['src/core', 'src/runtime', 'src/engines/engine-names'],
  'src/engines/engine-names': [],
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
  ],
  'src/http/wire': ['src/core', 'src/net', 'src/runtime'],
  'src/http/v1': ['src/core', 'src/json', 'src/auth', 'src/telemetry', 'src/http', 'src/http/wire'],
  'src/http/dialects': ['src/core', 'src/json', 'src/auth', 'src/telemetry', 'src/http', 'src/http/wire'],
  'src/memcached': ['src/core', 'src/net', 'src/auth', 'src/telemetry'],
  'src/replication': ['src/core', 'src/telemetry', 'sdk'],
  'src/cli': ['sdk', 'src/runtime', 'src/config', 'src/options', 'src/option-kinds', 'src/cli/serve'],
  'src/cli/serve': [
    'sdk',
    'src/runtime',
    'src/config',
    'src/options',
    'src/option-kinds',
    'src/cli',
    'src/serve',
  ],
  'src/main': 'all',
  'src/serve': 'all',
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
    // needs.ts skips what lacks a program or a right that it needs; in CI that fails.
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

/** These quote what the rules forbid. */
const quotingFiles = ['scripts/tidy.ts', 'scripts/tidy-words.ts', 'scripts/tidy.test.ts']

/** Rules on the program without its tests, taken as a whole. */
const rulesTogether: Readonly<Record<string, (modules: readonly Module[]) => CodeFinding[]>> = {
  circle: importCycles,
  function: (modules) => longFunctions(modules, maxFunctionLines, longFunctionReasons),
  // The client has names of its own for what it shares with the server.
  type: (modules) => {
    const isClient = ({ path }: Module) => path.startsWith('sdk/')
    return [
      ...sharedTypeNames(modules.filter(isClient)),
      ...sharedTypeNames(modules.filter((module) => !isClient(module))),
    ]
  },
}

/** What is wrong with a file, given its path from the root of the repository: lines as they are printed. */
export function tidy(path: string, text: string): string[] {
  if (quotingFiles.includes(path)) return []
  return rules
    .filter((rule) => rule.appliesTo(path))
    .flatMap((rule) =>
      rule.check(path, text).map(({ line, what }) => `${path}:${line} ${rule.name}: ${what}`),
    )
}

/** What is wrong with files that are right each for itself, or inside of one. */
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

/** Tests, and the suite that every engine passes. */
function isTest(path: string): boolean {
  return /\.test\.tsx?$/.test(path) || /^(test|src\/engines\/conformance)[/.]/.test(path)
}

/** What is built into kvist, and the tests beside it. */
function isProgram(path: string): boolean {
  return isCode(path) && /^(src|sdk|console)\//.test(path)
}

/** What is built into kvist, without tests. */
function isProduct(path: string): boolean {
  return isProgram(path) && !isTest(path)
}

/** What we write for people to read, code or not. The change log tells of what was, in its words. */
function isProse(path: string): boolean {
  return (isCode(path) || /\.(md|ya?ml|json)$/.test(path)) && path !== 'CHANGELOG.md'
}

/** What uses engines, but for the one module that commits to them. */
function isAboveEngines(path: string): boolean {
  return isProduct(path) && !path.startsWith('src/engines/') && path !== 'src/core/writes.ts'
}

/** Finds the lines that match, comments and all. */
function saying(pattern: RegExp, what: string): Check {
  return (_path, text) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [{ line: index + 1, what }] : []))
}

/** Finds the lines that match with their comments left out. */
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

/** `words` are all that are gone; another table makes tests of the rule. */
export function goneWordsIn(path: string, text: string, words = goneWords): Finding[] {
  return words.flatMap((gone) => {
    const pattern = patternOf(gone)
    if (!pattern.test(text)) return []
    const what = `${pattern.exec(text)?.[0]}: say ${gone.instead}`
    if (gone.where === 'everywhere') return saying(pattern, what)(path, text)
    if (!/\.[cm]?[jt]s$/.test(path)) return []
    return namesIn(path, text).flatMap(({ name, line }) => (pattern.test(name) ? [{ line, what }] : []))
  })
}

function filesOfRepository(root: string): string[] {
  // A checkout may belong to another user than the one who runs its checks, as in a container.
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
