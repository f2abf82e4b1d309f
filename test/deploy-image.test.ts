import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }
import { options } from '../src/server-options.ts'
import { type Instruction, notIgnored, parseDockerfile } from './support/dockerfile.ts'
import { needing } from './support/needs.ts'
import { newFolder } from './support/server.ts'
import { outputOf } from './support/spawn.ts'

/**
 * The image, without a container engine: the steps of the Dockerfile are run in a folder that holds what the build
 * would be given, and what comes out is started in a root of its own, which has the C library and nothing else.
 */

const root = join(import.meta.dir, '..')
const folder = newFolder()
const sources = join(folder, 'src')
const image = join(folder, 'image')
const isRoot = process.getuid?.() === 0

const [build = [], final = []] = parseDockerfile(readFileSync(join(root, 'Dockerfile'), 'utf8'))

// As in an engine; a server that another test ran in this process has left its own.
const umask = process.umask()
beforeAll(async () => {
  process.umask(0o022)
  chmodSync(folder, 0o755)
  await runBuildStage()
  makeImage()
})
afterAll(() => {
  process.umask(umask)
  rmSync(folder, { recursive: true, force: true })
})

function textOf(stage: readonly Instruction[], name: string): string {
  const found = stage.filter((step) => step.name === name)
  if (found.length !== 1) throw new Error(`the stage has ${found.length} of ${name}`)
  return found[0]?.text ?? ''
}

/** The files that are sent to the engine. */
function context(): string[] {
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
  const paths = Bun.spawnSync(git, { cwd: root }).stdout.toString().split('\0')
  const present = paths.filter((path) => path !== '' && existsSync(join(root, path)))
  return notIgnored(present, readFileSync(join(root, '.dockerignore'), 'utf8'))
}

async function runBuildStage(): Promise<void> {
  expect(textOf(build, 'WORKDIR')).toBe('/src')
  mkdirSync(sources)
  // Packages are not fetched once more: they are those of this checkout, which set-up finds to be right.
  const linked = Bun.spawnSync(['cp', '-al', join(root, 'node_modules'), sources])
  if (!linked.success) cpSync(join(root, 'node_modules'), join(sources, 'node_modules'), { recursive: true })
  const sent = context()
  const env = { PATH: process.env.PATH, HOME: process.env.HOME }
  for (const { name, text } of build) {
    if (name === 'COPY') copy(sent, text.split(' '))
    if (name === 'RUN') await outputOf(['sh', '-c', text], { cwd: sources, env })
  }
}

function copy(sent: readonly string[], words: readonly string[]): void {
  const to = join(sources, words.at(-1) ?? '')
  for (const from of words.slice(0, -1)) {
    const found = sent.filter((path) => from === '.' || path === from)
    if (found.length === 0) throw new Error(`COPY ${from}: there is no such file in what is sent`)
    for (const path of found)
      cpSync(join(root, path), join(to, from === '.' ? path : (path.split('/').at(-1) ?? '')))
  }
}

/** The last stage over a base that has the loader and the libraries that the executable asks for, /proc and /tmp. */
function makeImage(): void {
  for (const name of ['proc', 'tmp']) mkdirSync(join(image, name), { recursive: true })
  chmodSync(join(image, 'tmp'), 0o1777)
  for (const { name, flags, text } of final) {
    if (name !== 'COPY') continue
    const [from = '', to = ''] = text.split(' ')
    expect([flags.from, from]).toEqual(['build', expect.stringMatching(/^\/src\//)])
    cpSync(join(folder, from), join(image, to), { recursive: true })
    const owner = Number(flags.chown?.split(':')[0])
    if (isRoot && owner > 0) chownSync(join(image, to), owner, owner)
  }
  const libraries = Bun.spawnSync(['ldd', join(sources, 'dist/kvist')]).stdout.toString()
  for (const [path] of libraries.matchAll(/\/\S+/g)) {
    mkdirSync(dirname(join(image, path)), { recursive: true })
    cpSync(path, join(image, path), { dereference: true })
  }
}

const environment = Object.fromEntries(
  [...textOf(final, 'ENV').matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
)

/** Runs a command in the image as an engine does: its root, its user, its environment, and the first of its processes. */
function runInImage(command: readonly string[], env: Readonly<Record<string, string>>) {
  const [user = '', group = ''] = textOf(final, 'USER').split(':')
  const asUser = isRoot ? [`--setuid=${user}`, `--setgid=${group}`] : ['--user', '--map-current-user']
  return Bun.spawn(
    [
      'unshare',
      ...asUser,
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      `--root=${image}`,
      `--wd=${textOf(final, 'WORKDIR')}`,
      ...command,
    ],
    { env: { ...environment, ...env }, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  )
}

function words(json: string): string[] {
  return JSON.parse(json)
}

const entry = words(textOf(final, 'ENTRYPOINT'))
const start = [...entry, ...words(textOf(final, 'CMD'))]
const check = words(textOf(final, 'HEALTHCHECK').replace(/^CMD /, ''))

test('it is given the sources, and nothing that does not belong into it', () => {
  const sent = context()
  expect(sent).toContain('src/main.ts')
  const strange = sent.filter(
    (path) => !/^(src|sdk|scripts|console)\/|^((package(-lock)?|tsconfig)\.json|\.npmrc)$/.test(path),
  )
  expect(strange).toEqual([])
  expect(sent.filter((path) => path.endsWith('.test.ts'))).toEqual([])
})

test('it says where it listens and where its data is', () => {
  expect(textOf(final, 'EXPOSE')).toBe(String(options.port.default))
  expect(environment.KVIST_DATA).toBe(textOf(final, 'VOLUME'))
  expect(textOf(final, 'USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/)
})

/** How the Dockerfile refers to an argument of the build, which it must have. */
function argument(name: string): string {
  expect(final.some((step) => step.name === 'ARG' && step.text.startsWith(`${name}=`))).toBe(true)
  return `$\{${name}}`
}

test('it says what it is, and has completions for images that are made from it', () => {
  const labels = [...textOf(final, 'LABEL').matchAll(/org\.opencontainers\.image\.([\w.]+)="([^"]*)"/g)]
  expect(Object.fromEntries(labels.map(([, name = '', value = '']) => [name, value]))).toMatchObject({
    title: 'kvist',
    description: manifest.description.split(':')[0],
    licenses: manifest.license,
    version: argument('VERSION'),
    revision: argument('REVISION'),
  })
  const share = (path: string) => readFileSync(join(image, 'usr/share', path), 'utf8')
  expect(share('bash-completion/completions/kvist')).toContain('complete -o bashdefault')
  expect(share('zsh/site-functions/_kvist')).toStartWith('#compdef kvist')
  expect(share('fish/vendor_completions.d/kvist.fish')).toContain('complete -f -c kvist')
})

needing('namespaces').test(
  'it does not start for everybody: somebody must have said who may come in',
  async () => {
    const child = runInImage(start, { KVIST_PORT: '0' })
    expect(await child.stderr.text()).toContain('set KVIST_TOKEN or --token-file, or say --no-auth')
    expect(await child.exited).toBe(2)
  },
)

needing('namespaces').test(
  'it serves with a token, is healthy, keeps its data in the volume, and ends when it is asked to',
  async () => {
    const env = { KVIST_PORT: '0', KVIST_TOKEN: 'a-token' }
    const headers = { authorization: 'Bearer a-token' }
    const starts = [
      { method: 'PUT', status: 201, body: { body: '1' } },
      { method: 'GET', status: 200, body: {} },
    ]
    for (const { method, status, body } of starts) {
      const child = runInImage(start, env)
      const port = await portOf(child.stdout)
      const url = `http://127.0.0.1:${port}`
      const response = await fetch(`${url}/v1/kept/a`, { method, headers, ...body })
      expect(response.status).toBe(status)
      expect((await fetch(`${url}/v1/kept/a`)).status).toBe(401)
      expect(await runInImage(check, { KVIST_URL: url }).exited).toBe(0)
      process.kill(childOf(child.pid), 'SIGTERM')
      expect(await child.exited).toBe(0)
      expect(await runInImage(check, { KVIST_URL: url }).exited).toBe(1)
    }
    expect(existsSync(join(image, environment.KVIST_DATA ?? '', 'kvist.db'))).toBe(true)
  },
)

needing('namespaces').test('it serves without a token where the operator says so', async () => {
  const child = runInImage([...entry, 'serve', '--no-auth'], { KVIST_PORT: '0' })
  const response = await fetch(`http://127.0.0.1:${await portOf(child.stdout)}/v1`)
  expect(response.status).toBe(200)
  process.kill(childOf(child.pid), 'SIGTERM')
  expect(await child.exited).toBe(0)
})

async function portOf(stdout: ReadableStream<Uint8Array>): Promise<number> {
  const decoder = new TextDecoder()
  let said = ''
  for await (const part of stdout) {
    said += decoder.decode(part, { stream: true })
    const port = /"url":"http:\/\/0\.0\.0\.0:(\d+)"/.exec(said)?.[1]
    if (port !== undefined) return Number(port)
  }
  throw new Error(`kvist ended: ${said}`)
}

function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
}
