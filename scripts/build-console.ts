/**
 * Builds the console, `console/`, into `console/dist/console.pack`: the one file from which the program serves it, and which
 * executables and packages carry. scripts/setup.mjs runs this when the sources have changed.
 *
 * The pack is a line of JSON that says where each file is, then the files, compressed unless they are small. src/http/console-pack.ts
 * reads it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { extname, join, relative, resolve } from 'node:path'
import zlib from 'node:zlib'
import { build } from 'vite'

const root = join(import.meta.dir, '..')

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.md': 'text/markdown; charset=utf-8',
}

/** Smaller files fit into one packet with their head. */
const minCompressedBytes = 1024

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  br: (bytes) =>
    zlib.brotliCompressSync(bytes, {
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: zlib.constants.BROTLI_MAX_QUALITY,
        [zlib.constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
  gzip: (bytes) => zlib.gzipSync(bytes, { level: 9 }),
}

/** Builds into the folder, which appears at its place when all is in it. Throws the errors of the sources. */
async function buildConsole(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const built = mkdtempSync(join(folder, '.build-'))
  try {
    const outDir = join(built, 'files')
    await build({ configFile: join(root, 'console/vite.config.ts'), logLevel: 'warn', build: { outDir } })
    const pack = join(built, 'console.pack')
    writeFileSync(pack, packOf(outDir))
    renameSync(pack, join(folder, 'console.pack'))
  } finally {
    rmSync(built, { recursive: true, force: true })
  }
}

function packOf(folder: string): Buffer {
  const parts: Buffer[] = []
  let offset = 0
  const append = (bytes: Buffer) => {
    parts.push(bytes)
    offset += bytes.length
    return [offset - bytes.length, bytes.length]
  }
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .toSorted()
  const files = paths.map((path) => {
    const type = types[extname(path)]
    if (type === undefined) throw new Error(`no content type for ${path} of the console`)
    const bytes = readFileSync(join(folder, path))
    const coded = () => Object.entries(codings).map(([name, encode]) => [name, encode(bytes)] as const)
    const bodies = bytes.length < minCompressedBytes ? [['identity', bytes] as const] : coded()
    const tag = new Bun.CryptoHasher('sha256').update(bytes).digest('base64url').slice(0, 16)
    return [
      path === builtLicences ? 'licences.md' : path,
      { type, tag, bodies: Object.fromEntries(bodies.map(([name, body]) => [name, append(body)])) },
    ]
  })
  return Buffer.concat([Buffer.from(`${JSON.stringify({ files: Object.fromEntries(files) })}\n`), ...parts])
}

/** The licences of the packages that are inside, which ask to go with them. */
const builtLicences = '.vite/license.md'

await buildConsole(resolve(process.argv[2] ?? join(root, 'console/dist')))
