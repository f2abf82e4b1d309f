import { expect, test } from 'bun:test'
import { goneWordsIn, tidy, tidyTogether } from './tidy.ts'
import { longFunctions, parseModule } from './tidy-code.ts'
import { patternOf } from './tidy-words.ts'

interface Case {
  readonly rule: string
  readonly path: string
  readonly red: string
  readonly green: string
}

const cases: readonly Case[] = [
  {
    rule: 'gate',
    path: 'src/core/sliding.ts',
    red: 'await engine.commit({ checks: [], writes, nowMs })',
    green: 'await writes.commit(renewals)',
  },
  {
    rule: 'import',
    path: 'src/core/member.ts',
    red: "import { open } from '../engines/open.ts'",
    green: "import { open } from './limits.ts'",
  },
  {
    rule: 'import',
    path: 'src/core/member.ts',
    red: "import {\n  type Metrics,\n} from '../telemetry/metrics.ts'",
    green: "import { join } from 'node:path'",
  },
  {
    rule: 'import',
    path: 'src/core/member.ts',
    red: "export type { Metrics } from '../telemetry/metrics.ts'",
    green: " * import { x } from '../telemetry/metrics.ts'",
  },
  {
    rule: 'import',
    path: 'src/core/member.ts',
    red: "const module = await import('../http/server.ts')",
    green: "const module = await import('./limits.ts')",
  },
  {
    rule: 'import',
    path: 'src/engines/sqlite.ts',
    red: "new Worker(new URL('../http/worker.ts', import.meta.url))",
    green: "new Worker(new URL('./sqlite/worker.ts', import.meta.url))",
  },
  {
    rule: 'import',
    path: 'src/engines/sqlite/log.ts',
    red: "import { serve } from '../../serve.ts'",
    green: "import type { Change } from '../../core/member.ts'",
  },
  {
    rule: 'import',
    path: 'src/http/v1/members.ts',
    red: "import { ozza } from '../dialects/ozza.ts'",
    green: "import { problem } from '../problem.ts'",
  },
  {
    rule: 'import',
    path: 'src/http/dialects/ozza.ts',
    red: "import { members } from '../v1/members.ts'",
    green: "import { readToken } from '../../auth/token.ts'",
  },
  {
    rule: 'import',
    path: 'src/http/server.ts',
    red: "import { listen } from '../memcached/listener.ts'",
    green: "import { routes } from './v1/routes.ts'",
  },
  {
    rule: 'import',
    path: 'src/memcached/listener.ts',
    red: "import { problem } from '../http/problem.ts'",
    green: "import { KvistError } from '../core/errors.ts'",
  },
  {
    rule: 'import',
    path: 'src/replication/mirror.ts',
    red: "import { routes } from '../http/v1/routes.ts'",
    green: "import { connect } from '../../sdk/kvist.ts'",
  },
  {
    rule: 'import',
    path: 'src/cli/get.ts',
    red: "import { serve } from '../serve.ts'",
    green: "import { options } from '../server-options.ts'\nimport { connect } from '../../sdk/kvist.ts'",
  },
  {
    rule: 'import',
    path: 'src/cli/serve.ts',
    red: "import { open } from '../engines/open.ts'",
    green: "import { serve } from '../serve.ts'\nimport { version } from '../../package.json'",
  },
  {
    rule: 'import',
    path: 'sdk/kvist.ts',
    red: "import { maxKeyBytes } from '../src/core/limits.ts'",
    green: "import { request } from './request.ts'",
  },
  {
    rule: 'import',
    path: 'src/config.ts',
    red: "import { listen } from './http/server.ts'",
    green: "import { options } from './server-options.ts'\nimport { refuse } from './options.ts'",
  },
  {
    rule: 'import',
    path: 'src/core/cache.ts',
    red: "import { model } from '../../test/model.ts'",
    green: "import type { Member } from './member.ts'",
  },
  { rule: 'length', path: 'src/core/cache.ts', red: 'a\n'.repeat(601), green: 'a\n'.repeat(600) },
  {
    rule: 'barrel',
    path: 'src/core/all.ts',
    red: "export * from './a.ts'",
    green: "export { a } from './a.ts'",
  },
  { rule: 'any', path: 'bench/run.ts', red: 'read(x as any)', green: '// as good as any\nread(x)' },
  {
    rule: 'seam',
    path: 'src/http/server.ts',
    red: 'const nowMs = Date.now()',
    green: 'const nowMs = now() // Date.now() is for serve.ts',
  },
  { rule: 'seam', path: 'src/serve.ts', red: 'const ms = performance.now()', green: 'const now = Date.now' },
  { rule: 'seam', path: 'sdk/watch.ts', red: '\n\nopen(performance.now)', green: 'open(monotonicMs)' },
  { rule: 'seam', path: 'src/core/list.ts', red: 'Bun.gc(true)', green: 'collectGarbage()' },
  { rule: 'seam', path: 'src/core/list.ts', red: 'const now = new Date()', green: 'new Date(nowMs)' },
  { rule: 'seam', path: 'src/net/tick.ts', red: 'Bun.nanoseconds()', green: 'monotonicMs()' },
  {
    rule: 'word',
    path: 'src/core/list.ts',
    red: '// reads\n// what is foreseen',
    green: '// what is prefetched',
  },
  {
    rule: 'word',
    path: 'docs/lists.md',
    red: 'Foreseeing: foresee',
    green: 'foreseeing unforeseen foreseeable',
  },
  { rule: 'word', path: 'test/model.ts', red: 'x.isForeseen()', green: 'x.isUnforeseenX()' },
  { rule: 'unfinished', path: 'bench/run.ts', red: '// TODO: later', green: '// later' },
  { rule: 'unfinished', path: 'scripts/a.mjs', red: '// FIXME', green: '// fixed' },
  { rule: 'skipped', path: 'src/a.test.ts', red: "test.only('x', () => {})", green: "test('x', () => {})" },
  { rule: 'skipped', path: 'test/crash.ts', red: "describe.skipIf(slow)('x')", green: '// no .skip() here' },
  { rule: 'machine', path: 'README.md', red: 'cd /work/kvist', green: 'GET /v1/work/kvist and ./work/kvist' },
  {
    rule: 'machine',
    path: 'test/disk.ts',
    red: "mount('/tmp/disk')",
    green: "mount(join(tmpdir(), 'disk'))",
  },
  { rule: 'machine', path: '.ci/run', red: 'cd /home/ann/kvist', green: 'cd "$home/kvist"' },
  {
    rule: 'registry',
    path: 'docs/setup.md',
    red: 'https://registry.npmjs.org/bun',
    green: 'registry.register(counter)',
  },
  {
    rule: 'lock',
    path: 'package-lock.json',
    red: '      "resolved": "https://example.org/bun.tgz",',
    green: '      "integrity": "sha512-x",',
  },
]

for (const { rule, path, red, green } of cases) {
  test(`${path}: ${rule} goes red for ${quote(red)}`, () => {
    const found = tidy(path, red)
    expect(found).toHaveLength(1)
    expect(found[0]).toStartWith(`${path}:${red.trimEnd().split('\n').length} ${rule}: `)
  })
  test(`${path}: ${rule} is content with ${quote(green)}`, () => {
    expect(tidy(path, green)).toEqual([])
  })
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 70))
}

test('serve.ts may import everything', () => {
  const text = "import { routes } from './http/v1/routes.ts'\nimport { open } from './engines/open.ts'"
  expect(tidy('src/serve.ts', text)).toEqual([])
})

test('a file called index is a barrel', () => {
  expect(tidy('src/core/index.ts', '')).toEqual([
    'src/core/index.ts:1 barrel: call the file by what is in it',
  ])
})

test('a folder without a row in the import table is named', () => {
  expect(tidy('src/helpers/a.ts', '')).toEqual([
    'src/helpers/a.ts:1 import: src/helpers/a.ts has no row in the import table of scripts/tidy.ts',
  ])
})

test('tests may import anything, wherever they are', () => {
  const text = "import { open } from '../engines/open.ts'"
  expect(tidy('src/core/cache.test.ts', text)).toEqual([])
  expect(tidy('test/model.ts', text)).toEqual([])
  expect(tidy('bench/run.ts', text)).toEqual([])
})

test('the line of a finding is that of what was found', () => {
  expect(tidy('src/core/a.ts', "const a = 1\n\nimport { b } from '../http/b.ts'\n")).toEqual([
    'src/core/a.ts:3 import: src/core may not import src/http/b.ts',
  ])
})

test('tests may ask for the time', () => {
  expect(tidy('src/core/cache.test.ts', 'Date.now()')).toEqual([])
  expect(tidy('src/engines/conformance/life.ts', 'performance.now()')).toEqual([])
})

test('a word may be found in names alone', () => {
  const files = {
    'src/a.ts': "// told of it\nconst word = 'told'\nfunction toldOf() {}\nlet isTold = x.told",
  }
  const found = Object.entries(files).flatMap(([path, text]) => goneWordsIn(path, text, [told]))
  expect(found.map(({ line }) => line)).toEqual([3, 4, 4])
})

test('a word may be found in titles of tests alone', () => {
  const text = `// it is told
test('it is told', () => told())
describe.each(cases)("%s", () => {})
test.each([
  ['told', 1],
])(
  '%s is told',
  () => {},
)
needing('process').test('what is told', work)`
  const titled = { ...told, where: 'titles' } as const
  expect(goneWordsIn('test/a.test.ts', text, [titled]).map(({ line }) => line)).toEqual([2, 7, 10])
  expect(goneWordsIn('src/core/a.ts', text, [titled])).toEqual([])
})

const told = { word: 'told', instead: 'report', where: 'names' } as const

test.each([
  ['foresee', true],
  ['isForeseen', true],
  ['foreseeAll', true],
  ['unforeseen', false],
  ['foreseeable', false],
])('%p is the word: %p', (name, isWord) => {
  const pattern = patternOf({ word: 'foresee[ns]?', instead: '', where: 'everywhere' })
  expect(pattern.test(name)).toBe(isWord)
})

const long = `{\n${'  x()\n'.repeat(99)}}`

test.each([
  ['a function', `function a() ${long}`],
  ['an arrow function', `const a = () => ${long}`],
  ['a method', `class A {\n  a() ${long}\n}`],
  ['a method of an object', `const o = { a() ${long} }`],
])('%s of 101 lines is too long, by its name', (_what, text) => {
  const path = 'src/core/a.ts'
  const what = 'a has 101 lines; split it by 100'
  const line = text.startsWith('class') ? 2 : 1
  expect(tidyTogether([{ path, text }])).toContain(`${path}:${line} function: ${what}`)
  const shorter = text.replace('  x()\n', '')
  expect(tidyTogether([{ path, text: shorter }]).filter((found) => found.startsWith(path))).toEqual([])
})

test('a long function may have a reason, and one that is not needed any more goes', () => {
  const modules = [parseModule('src/a.ts', `function b() ${long}`)]
  expect(longFunctions(modules, 100, { 'src/a.ts:b': 'a table' })).toEqual([])
  const [found, ...others] = longFunctions([], 100, { 'src/a.ts:b': 'a table' })
  expect(found?.what).toBe('the exception src/a.ts:b is not needed any more')
  expect(others).toEqual([])
})

/** What the rules on the whole program say of these files alone. */
function foundIn(files: Readonly<Record<string, string>>): string[] {
  const found = tidyTogether(Object.entries(files).map(([path, text]) => ({ path, text })))
  return found.filter((line) => !line.startsWith('scripts/tidy.ts'))
}

test('a circle of imports is named once, types and what is imported later included', () => {
  const files = {
    'src/core/a.ts': "import { b } from './b.ts'",
    'src/core/b.ts': "import { c } from './c.ts'\nimport './d.ts'",
    'src/core/c.ts': "\nimport type { A } from './a.ts'",
    'src/core/d.ts': "\n\nconst b = () => import('./b.ts')",
  }
  expect(foundIn(files)).toEqual([
    'src/core/c.ts:2 circle: core/a.ts → core/b.ts → core/c.ts → core/a.ts',
    'src/core/d.ts:3 circle: core/b.ts → core/d.ts → core/b.ts',
  ])
  expect(foundIn({ ...files, 'src/core/c.ts': '', 'src/core/d.ts': '' })).toEqual([])
})

test('two ways to one file are no circle, nor is one through a test', () => {
  const files = {
    'src/core/a.ts': "import './b.ts'\nimport './c.ts'",
    'src/core/b.ts': "import './d.ts'",
    'src/core/c.ts': "import './d.ts'",
    'src/core/d.ts': "import './e.test.ts'",
    'src/core/e.test.ts': "import './a.ts'",
  }
  expect(foundIn(files)).toEqual([])
})

test.each(['export interface Refusal {}', 'export type Refusal = string', 'export class Refusal {}'])(
  '%s: an exported type has a name of its own',
  (text) => {
    const first = { 'src/core/a.ts': 'export interface Refusal {}' }
    expect(foundIn({ ...first, 'src/http/b.ts': text })).toEqual([
      'src/http/b.ts:1 type: src/core/a.ts exports a type Refusal too',
    ])
    expect(foundIn({ ...first, 'sdk/b.ts': text, 'src/http/b.test.ts': text })).toEqual([])
    expect(foundIn({ ...first, 'src/http/b.ts': text.replace('export ', '') })).toEqual([])
    expect(foundIn({ ...first, 'src/http/b.ts': "export type { Refusal } from './c.ts'" })).toEqual([])
  },
)
