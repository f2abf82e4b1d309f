/**
 * `npm run build`: makes `dist/kvist`, one executable with everything inside that runs where there is neither Node nor
 * Bun. `bun scripts/build.ts FILE` makes it elsewhere.
 */
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, parse, relative, resolve } from 'node:path'

const root = join(import.meta.dir, '..')

/** Makes the executable; throws with what is wrong with the sources. */
async function build(executable: string): Promise<void> {
  mkdirSync(dirname(executable), { recursive: true })
  // Beside its place, so that it gets there in one move: a kvist that runs from there keeps its own file.
  const folder = mkdtempSync(join(dirname(executable), '.build-'))
  try {
    await Bun.build({
      entrypoints: [join(root, 'src/main.ts'), ...workers()],
      root,
      target: 'bun',
      format: 'esm',
      // Everything stands in one folder inside, where a path relative to any module finds the threads.
      naming: { entry: '[name].[ext]' },
      minify: true,
      // Ten megabytes more, and a start in less than half of the time.
      bytecode: true,
      // Two megabytes more, and errors name the lines of the sources.
      sourcemap: 'linked',
      compile: {
        outfile: join(folder, 'kvist'),
        // What lies in the folder it is started in is not kvist's to load.
        autoloadDotenv: false,
        autoloadBunfig: false,
      },
    })
    chmodSync(join(folder, 'kvist'), 0o755)
    renameSync(join(folder, 'kvist'), executable)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The files that run as threads: nothing imports them, so they are named, and by one name each. */
function workers(): string[] {
  const found = [...new Bun.Glob('src/**/*-worker.ts').scanSync({ cwd: root })].toSorted()
  const names = found.map((path) => parse(path).name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined)
    throw new Error(`two threads are called ${twice}.ts: inside, their names must differ`)
  return found.map((path) => join(root, path))
}

const executable = resolve(process.argv[2] ?? join(root, 'dist/kvist'))
await build(executable)
const megabytes = (statSync(executable).size / 1e6).toFixed(0)
console.log(`${relative(process.cwd(), executable)}: ${megabytes} MB`)
