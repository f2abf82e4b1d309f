import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')

/**
 * Compiles the client to one ES module, `client.js`, with its types, into a folder. Its code uses the Web's APIs alone, so
 * that it runs everywhere. Throws the errors of the sources.
 */
export async function compileClient(folder: string): Promise<void> {
  await Bun.build({
    entrypoints: [join(root, 'sdk/client.ts')],
    outdir: folder,
    target: 'browser',
    format: 'esm',
    sourcemap: 'linked',
  })
  compile(['-p', join(root, 'sdk'), '--emitDeclarationOnly', '--outDir', folder])
}

/**
 * Compiles the modules of a folder under packages/, each to a module with its types, and imports of the client stay as they
 * are: `clientTypes` is the client.d.ts that they are checked with. Throws the errors of the sources.
 */
export function compileModules(name: string, clientTypes: string, folder: string): void {
  const source = join(root, 'packages', name)
  const modules = readdirSync(source).filter((file) => file.endsWith('.ts'))
  const settings = join(folder, 'tsconfig.json')
  writeFileSync(
    settings,
    JSON.stringify({
      extends: join(root, 'packages/tsconfig.json'),
      compilerOptions: { rootDir: source, outDir: folder, paths: { 'kvist-client': [clientTypes] } },
      include: modules.map((file) => join(source, file)),
    }),
  )
  compile(['-p', settings])
}

function compile(options: readonly string[]): void {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const done = Bun.spawnSync([tsc, '--noEmit', 'false', '--declaration', ...options])
  if (!done.success) throw new Error(`tsc found errors:\n${done.stdout}${done.stderr}`)
}
