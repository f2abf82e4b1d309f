import project from '../../package.json'
import { packages } from '../../packages/packages.ts'

/** Writes the package.json of a published package, from the table and from what all packages share. */

/** Packages that hold Bun for one platform; npm installs the one that fits. Android, FreeBSD and Windows are not tested. */
const bunPackages = [
  '@oven/bun-darwin-aarch64',
  '@oven/bun-darwin-x64',
  '@oven/bun-linux-aarch64',
  '@oven/bun-linux-aarch64-musl',
  '@oven/bun-linux-x64',
  '@oven/bun-linux-x64-musl',
]

/** Returns the manifest of a package of the table. Throws for any other name. */
export function manifestOf(name: string): Record<string, unknown> {
  const entry = packages[name]
  if (entry === undefined) throw new Error(`packages/packages.ts has no ${name}`)
  const { description, keywords, bin, os, exports = {}, uses = [], peerDependencies = {} } = entry
  const peers = Object.keys(peerDependencies)
  return withoutEmpty({
    name,
    version: project.version,
    description,
    keywords,
    license: project.license,
    // There is none as long as the project has no public address; npm asks for it with provenance.
    repository:
      'repository' in project ? { ...repositoryOf(project), directory: `packages/${name}` } : undefined,
    type: 'module',
    engines: project.engines,
    os,
    sideEffects: bin === undefined ? false : undefined,
    bin,
    exports: Object.fromEntries(
      Object.entries(exports).map(([path, module]) => [
        path,
        { types: `./${module}.d.ts`, default: `./${module}.js` },
      ]),
    ),
    dependencies: Object.fromEntries(uses.map((used) => [used, `^${project.version}`])),
    optionalDependencies:
      bin === undefined ? {} : Object.fromEntries(bunPackages.map((bun) => [bun, project.dependencies.bun])),
    peerDependencies,
    peerDependenciesMeta: entry.peersAreOptional
      ? Object.fromEntries(peers.map((peer) => [peer, { optional: true }]))
      : {},
    publishConfig: { access: 'public', provenance: true },
  })
}

function repositoryOf(manifest: Record<string, unknown>): object {
  const { repository } = manifest
  return typeof repository === 'object' && repository !== null ? repository : { type: 'git', url: repository }
}

function withoutEmpty(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(
      ([, value]) =>
        value !== undefined && (typeof value !== 'object' || Object.keys(value ?? {}).length > 0),
    ),
  )
}
