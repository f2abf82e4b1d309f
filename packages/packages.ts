/**
 * The packages that `npm run pack` makes: their names, and what each needs and exports. Their version, licence and
 * engines are those of package.json. Each has a folder of its name, with its README.
 */

export interface PublishedPackage {
  readonly description: string
  readonly keywords: readonly string[]
  /** The module for each subpath of `exports`, without its ending. */
  readonly exports?: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  /** The operating systems that it is for; all, if left out. */
  readonly os?: readonly string[]
  /** Dependencies that are packages of this table, in the same version. */
  readonly uses?: readonly string[]
  readonly peerDependencies?: Readonly<Record<string, string>>
  /** An application has one of the peers, and need not have the others. */
  readonly peersAreOptional?: true
}

const client = 'kvist-client'

export const packages: Readonly<Record<string, PublishedPackage>> = {
  kvist: {
    description: 'A key-value store that speaks HTTP: the server and the command line.',
    keywords: ['key-value', 'database', 'http', 'server', 'cli', 'json', 'memcached'],
    bin: { kvist: 'bin/kvist.mjs' },
    os: ['linux', 'darwin'],
  },
  [client]: {
    description: 'The client of the key-value store kvist, for Node, Deno, Bun and browsers.',
    keywords: ['kvist', 'key-value', 'client', 'http'],
    exports: { '.': 'client' },
  },
  'kvist-keyv': {
    description: 'A storage adapter for Keyv that keeps its entries in kvist.',
    keywords: ['kvist', 'keyv', 'key-value', 'cache', 'storage', 'adapter'],
    exports: { '.': 'keyv-store' },
    uses: [client],
    peerDependencies: { keyv: '^5.5.4 || ^6.0.0' },
  },
  'kvist-unstorage': {
    description: 'A driver for unstorage that keeps its items in kvist.',
    keywords: ['kvist', 'unstorage', 'driver', 'key-value', 'storage'],
    exports: { '.': 'driver' },
    uses: [client],
    peerDependencies: { unstorage: '^1.17.0' },
  },
  'kvist-session': {
    description: 'Session stores for express-session and @fastify/session that keep sessions in kvist.',
    keywords: ['kvist', 'session', 'express', 'express-session', 'fastify', 'store'],
    exports: { './express': 'express', './fastify': 'fastify' },
    uses: [client],
    peerDependencies: { 'express-session': '^1.18.0', '@fastify/session': '^11.0.0' },
    peersAreOptional: true,
  },
}
