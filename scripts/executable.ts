import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { serverEntryPoints } from './server-entry-points.ts'

const root = join(import.meta.dir, '..')

/** A system that Bun compiles for, as it names it; its runtime comes from the package registry. */
export type Target = Bun.Build.CompileTarget

/** The systems that there are executables for, by the ends of their names. They need no AVX2: see docs/design/packages.md. */
export const targets: Readonly<Record<string, Target>> = {
  'linux-x64': 'bun-linux-x64',
  'linux-x64-musl': 'bun-linux-x64-musl',
  'linux-arm64': 'bun-linux-arm64',
  'linux-arm64-musl': 'bun-linux-arm64-musl',
  'darwin-x64': 'bun-darwin-x64',
  'darwin-arm64': 'bun-darwin-arm64',
  'windows-x64': 'bun-windows-x64',
  'windows-arm64': 'bun-windows-arm64',
}

export const targetNames: readonly string[] = Object.keys(targets)

/** Builds the executable, for this system unless a target is given. Throws the errors of the sources. */
export async function buildExecutable(executable: string, target?: Target): Promise<void> {
  mkdirSync(dirname(executable), { recursive: true })
  // Build beside the target and rename, so that a kvist that runs from there keeps its file.
  const folder = mkdtempSync(join(dirname(executable), '.build-'))
  try {
    await Bun.build({
      entrypoints: serverEntryPoints(),
      root,
      target: 'bun',
      format: 'esm',
      // Puts all modules into one folder inside, so that a path relative to any of them finds the worker threads.
      naming: { entry: '[name].[ext]' },
      minify: true,
      // Adds ten megabytes, and more than halves the time to start.
      bytecode: true,
      // Adds two megabytes; errors then name the lines of the sources.
      sourcemap: 'linked',
      compile: {
        ...(target === undefined ? {} : { target }),
        outfile: join(folder, 'kvist'),
        // Files in the working directory must not be loaded.
        autoloadDotenv: false,
        autoloadBunfig: false,
      },
    })
    // For Windows its name ends in `.exe`.
    const built = readdirSync(folder).find((name) => /^kvist(\.exe)?$/.test(name)) ?? 'kvist'
    chmodSync(join(folder, built), 0o755)
    renameSync(join(folder, built), executable)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
