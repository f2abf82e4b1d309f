import { join, parse } from 'node:path'

const root = join(import.meta.dir, '..')

/**
 * Returns the modules that the server is built from: the program, and the files that run as worker threads. Nothing
 * imports those, so they are listed as entry points; their names must be unique.
 */
export function serverEntryPoints(): string[] {
  const workers = [...new Bun.Glob('src/**/*-worker.ts').scanSync({ cwd: root })].toSorted()
  const names = workers.map((path) => parse(path).name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined)
    throw new Error(`two threads are called ${twice}.ts: inside, their names must differ`)
  return ['src/main.ts', ...workers].map((path) => join(root, path))
}
