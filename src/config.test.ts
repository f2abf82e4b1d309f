import { expect, test } from 'bun:test'
import { type Config, parseConfig } from './config.ts'
import { UsageError } from './options.ts'
import { options } from './server-options.ts'

const defaults: Config = {
  port: 7070,
  host: '127.0.0.1',
  engine: 'sqlite',
  hostNames: [],
  corsOrigins: [],
  dataFolder: './kvist-data',
  configFile: null,
  dialect: null,
  durability: 'full',
  acceptDamagedLog: null,
  backupTo: null,
  backupEveryMs: 86_400_000,
  backupKeep: 14,
  sqlitePages: 'on',
  memoryBytes: null,
  cacheBytes: 201_326_592,
  tombstonesMs: null,
  idleTimeoutSeconds: 30,
  maxConnections: null,
  maxConnectionsPerAddress: null,
  rateLimit: null,
  stopTimeoutMs: 10_000,
  logLevel: 'info',
  accessLog: false,
  auditLog: null,
  memcachedPort: null,
  memcachedHost: '127.0.0.1',
  memcachedCollection: 'cache',
  memcachedDurability: null,
  memcachedIdleTimeoutSeconds: 0,
  memcachedMaxConnections: 4096,
  memcachedNoAuth: false,
  memcachedNoTls: false,
  tlsCert: null,
  tlsKey: null,
  tlsClientCa: null,
  http2: false,
  mirrorTo: [],
  servers: null,
  bridge: false,
  asksToBridge: false,
  mirrorOnly: [],
  mirrorTokens: false,
  mirrorTokenFile: null,
  mirrorCa: null,
  healEveryMs: null,
  follow: null,
  cacheOf: [],
  cacheStaleMs: 600_000,
  cacheTokenFile: null,
  cacheCa: null,
  lookup: false,
  lookupIn: [],
  lookupTimeoutMs: 1000,
  newNodeId: false,
  archive: null,
  archiveEveryMs: 10_000,
  redisPassword: null,
  redisPasswordFile: null,
  redisCa: null,
  redisCert: null,
  redisKey: null,
  redisPrefix: 'kvist',
  redisLines: null,
  redisPlacement: 'spread',
  redisWait: 0,
  redisWaitTimeoutMs: 1000,
  redisTimeoutMs: 2000,
  redisPatienceMs: 10_000,
  maxClockAheadMs: 60_000,
  noAuth: false,
  noConsole: false,
  token: null,
  tokenFile: null,
}

test('nothing given means the defaults', () => {
  expect(parseConfig([], {})).toEqual(defaults)
})

test('every default is a value that its own option takes, as the help shows it', () => {
  for (const [name, option] of Object.entries(options)) {
    if (option.default === null || Array.isArray(option.default)) continue
    const show: (value: never) => string = option.show
    expect({ [name]: option.parse(show(option.default as never)) }).toEqual({ [name]: option.default })
  }
})

test('a flag wins over the environment, the environment over the default', () => {
  const env = { KVIST_PORT: '81', KVIST_DATA: '/srv/kvist' }
  expect(parseConfig(['--port', '82'], env)).toEqual({ ...defaults, port: 82, dataFolder: '/srv/kvist' })
  expect(parseConfig(['--port=82', '--port=83'], env).port).toBe(83)
  expect(parseConfig([], env).port).toBe(81)
})

const accepted: [args: string[], env: Record<string, string>, part: Partial<Config>][] = [
  [['--port', '0'], {}, { port: 0 }],
  [['--port', '65535'], {}, { port: 65_535 }],
  [['--max-connections-per-address', '20'], {}, { maxConnectionsPerAddress: 20 }],
  [['--audit-log', '-'], {}, { auditLog: '-' }],
  [[], { KVIST_AUDIT_LOG: '/var/log/audit.log' }, { auditLog: '/var/log/audit.log' }],
  [['--rate-limit', '200/s'], {}, { rateLimit: { requests: 200, windowSeconds: 1, burst: 200 } }],
  [[], { KVIST_RATE_LIMIT: '5/h:9' }, { rateLimit: { requests: 5, windowSeconds: 3600, burst: 9 } }],
  [['--host', '[::1]'], {}, { host: '::1' }],
  [['--host', '127.8.8.8'], {}, { host: '127.8.8.8' }],
  [['--host', 'LOCALHOST'], {}, { host: 'LOCALHOST' }],
  [['--allowed-host', 'KVIST.', '--allowed-host', 'a.lan,b'], {}, { hostNames: ['kvist', 'a.lan', 'b'] }],
  [[], { KVIST_ALLOWED_HOST: 'kvist, db-1' }, { hostNames: ['kvist', 'db-1'] }],
  [['--allowed-host', 'flag'], { KVIST_ALLOWED_HOST: 'env' }, { hostNames: ['flag'] }],
  [
    ['--cors-origin', 'HTTPS://App.Example.com:443', '--cors-origin=http://[::1]:80,http://127.0.0.1:8080'],
    {},
    { corsOrigins: ['https://app.example.com', 'http://[::1]', 'http://127.0.0.1:8080'] },
  ],
  [[], { KVIST_CORS_ORIGIN: 'tauri://localhost' }, { corsOrigins: ['tauri://localhost'] }],
  [['--cors-origin', 'http://a:8'], {}, { corsOrigins: ['http://a:8'] }],
  [['--cors-origin', '*'], { KVIST_TOKEN: 't' }, { corsOrigins: ['*'], token: 't' }],
  [['--data', '-'], {}, { dataFolder: '-' }],
  [['--engine', 'memory'], {}, { engine: 'memory' }],
  [['--engine', 'sqlite', '--data', 'd'], { KVIST_ENGINE: 'memory' }, { engine: 'sqlite', dataFolder: 'd' }],
  [
    [],
    { KVIST_ENGINE: 'memory', KVIST_DATA: '/k', KVIST_DURABILITY: 'full' },
    { engine: 'memory', dataFolder: '/k' },
  ],
  [['--dialect', 'keys'], {}, { dialect: 'keys' }],
  [['--sqlite-pages', 'off'], {}, { sqlitePages: 'off' }],
  [[], { KVIST_SQLITE_PAGES: 'checked' }, { sqlitePages: 'checked' }],
  [['--memory', '200MB'], {}, { memoryBytes: 200_000_000 }],
  [['--accept-damaged-log', 'log-00000001:64'], {}, { acceptDamagedLog: 'log-00000001:64' }],
  [[], { KVIST_DIALECT: 'minstore', KVIST_CONFIG: 'a.ts' }, { dialect: 'minstore', configFile: 'a.ts' }],
  // Ozza's own variables, for that dialect alone, where kvist's do not say.
  [['--dialect', 'ozza'], {}, { dialect: 'ozza' }],
  [['--dialect', 'ozza'], { DATA_DIRECTORY: '/d' }, { dialect: 'ozza', dataFolder: '/d/kvist-data' }],
  [['--dialect', 'ozza'], { DATA_FILENAME: 'x.oz' }, { dialect: 'ozza', dataFolder: 'x.oz' }],
  [
    [],
    { KVIST_DIALECT: 'ozza', DATA_DIRECTORY: '/d/', DATA_FILENAME: 'x.oz' },
    { dialect: 'ozza', dataFolder: '/d/x.oz' },
  ],
  [
    ['--dialect', 'ozza', '--data', './kvist-data'],
    { DATA_DIRECTORY: '/d' },
    { dialect: 'ozza', dataFolder: './kvist-data' },
  ],
  [['--dialect', 'ozza'], { DATA_DIRECTORY: '/d', KVIST_DATA: '/k' }, { dialect: 'ozza', dataFolder: '/k' }],
  [['--dialect', 'keys'], { DATA_DIRECTORY: '/d' }, { dialect: 'keys' }],
  [[], { DATA_DIRECTORY: '/d', DATA_FILENAME: 'x.oz' }, {}],
  [['--durability', 'relaxed'], {}, { durability: 'relaxed' }],
  [[], { KVIST_DURABILITY: 'relaxed' }, { durability: 'relaxed' }],
  [['--cache-bytes', '0'], {}, { cacheBytes: 0 }],
  [['--cache-bytes', '12345'], {}, { cacheBytes: 12_345 }],
  [['--cache-bytes', '1.5GiB'], {}, { cacheBytes: 1_610_612_736 }],
  [['--cache-bytes', '0.07 gb'], {}, { cacheBytes: 70_000_000 }],
  [['--cache-bytes', '1TiB'], {}, { cacheBytes: 2 ** 40 }],
  [['--keep-tombstones', '1m'], {}, { tombstonesMs: 60_000 }],
  [[], { KVIST_KEEP_TOMBSTONES: '30d' }, { tombstonesMs: 30 * 24 * 3_600_000 }],
  [['--idle-timeout', '1'], {}, { idleTimeoutSeconds: 1 }],
  [['--idle-timeout', '2m'], {}, { idleTimeoutSeconds: 120 }],
  [['--idle-timeout', '255s'], {}, { idleTimeoutSeconds: 255 }],
  [['--stop-timeout', '0'], {}, { stopTimeoutMs: 0 }],
  [['--stop-timeout', '1.5'], {}, { stopTimeoutMs: 1500 }],
  [['--stop-timeout', '250ms'], {}, { stopTimeoutMs: 250 }],
  [['--stop-timeout', '1h'], {}, { stopTimeoutMs: 3_600_000 }],
  [['--log-level', 'error'], {}, { logLevel: 'error' }],
  [['--access-log'], { KVIST_LOG_LEVEL: 'info' }, { accessLog: true }],
  [['--memcached-port', '11211'], {}, { memcachedPort: 11_211 }],
  [['--memcached-host', '[::1]'], {}, { memcachedHost: '::1' }],
  [['--memcached-collection', 'pages'], {}, { memcachedCollection: 'pages' }],
  [['--memcached-durability', 'relaxed'], {}, { memcachedDurability: 'relaxed' }],
  [['--memcached-idle-timeout', '10m'], {}, { memcachedIdleTimeoutSeconds: 600 }],
  [[], { KVIST_MEMCACHED_MAX_CONNECTIONS: '1' }, { memcachedMaxConnections: 1 }],
  [['--memcached-host', '0.0.0.0'], {}, { memcachedHost: '0.0.0.0' }],
  [
    ['--tls-cert', 'c', '--tls-key', 'k'],
    { KVIST_TLS_CLIENT_CA: 'a' },
    { tlsCert: 'c', tlsKey: 'k', tlsClientCa: 'a' },
  ],
  [['--host', '0.0.0.0', '--no-auth'], {}, { host: '0.0.0.0', noAuth: true }],
  [['--host', '0.0.0.0'], { KVIST_TOKEN: 'a/b+c=' }, { host: '0.0.0.0', token: 'a/b+c=' }],
]

test.each(accepted)('%j with %j is taken', (args, env, part) => {
  expect(parseConfig(args, env)).toEqual({ ...defaults, ...part })
})

const refused: [args: string[], env: Record<string, string>, message: string][] = [
  [['--port', '65536'], {}, '--port must be a whole number from 0 to 65535, not "65536"'],
  [
    ['--rate-limit', '200'],
    {},
    '--rate-limit must be a rate like 200/s, 6000/m or 200/s:400 for bursts of up to 400, with numbers from 1 to 1000000, not "200"',
  ],
  [
    ['--max-connections-per-address', '0'],
    {},
    '--max-connections-per-address must be a whole number from 1 to 1000000, not "0"',
  ],
  [['--port', '-1'], {}, '--port must be a whole number from 0 to 65535, not "-1"'],
  [['--port', '1e3'], {}, '--port must be a whole number from 0 to 65535, not "1e3"'],
  [['--port='], {}, '--port is empty: it must be a whole number from 0 to 65535'],
  [['--port'], {}, '--port needs a value: a whole number from 0 to 65535'],
  [[], { KVIST_PORT: 'http' }, 'KVIST_PORT must be a whole number from 0 to 65535, not "http"'],
  [[], { KVIST_DATA: '' }, 'KVIST_DATA is empty: it must be the path of a folder'],
  [['--host', 'a b\nc'], {}, '--host must be a host name or an address, not "a b\\nc"'],
  [
    ['--allowed-host', 'kvist:7070'],
    {},
    '--allowed-host must be a host name without a port, or several with commas between them, not "kvist:7070"',
  ],
  [
    ['--allowed-host', ''],
    {},
    '--allowed-host is empty: it must be a host name without a port, or several with commas between them',
  ],
  ...[
    'app.example.com',
    'https://app.example.com/',
    'https://a.b/c',
    'null',
    'https://',
    'http://a:99999',
    '*.a.b',
  ].map((origin): [string[], Record<string, string>, string] => [
    ['--cors-origin', origin],
    {},
    `--cors-origin must be an origin like https://app.example.com, or *, or several with commas between them, not "${origin}"`,
  ]),
  [
    ['--cors-origin', 'http://a.b,*'],
    {},
    "--cors-origin '*' lets in every web page: set KVIST_TOKEN or --token-file, or name the origins",
  ],
  [['--durability', 'Full'], {}, '--durability must be full or relaxed, not "Full"'],
  [
    ['--engine', 'redis'],
    {},
    '--engine must be sqlite or memory or redis://host:port,host:port, not "redis"',
  ],
  [
    ['--data', 'd', '--engine', 'memory'],
    {},
    '--engine memory keeps nothing on disk: leave out --data, or --engine memory',
  ],
  [
    ['--durability=full'],
    { KVIST_ENGINE: 'memory' },
    '--engine memory keeps nothing on disk: leave out --durability, or --engine memory',
  ],
  ...[
    '--data=d',
    '--dialect=ozza',
    '--memcached-port=0',
    '--mirror-to=http://a',
    '--bridge',
    '--config=f',
    '--engine=memory',
  ].map((flag): [string[], Record<string, string>, string] => [
    ['--cache-of', 'http://a:1', flag],
    {},
    `--cache-of keeps nothing of its own and passes requests on: leave out ${flag.split('=')[0]}`,
  ]),
  [
    ['--cache-of', 'http://a:1', '--tls-client-ca', 'f', '--tls-cert', 'f', '--tls-key', 'f'],
    {},
    '--cache-of keeps nothing of its own and passes requests on: leave out --tls-client-ca',
  ],
  [
    ['--cache-of', 'http://a:1'],
    { KVIST_TOKEN: 'secret' },
    '--cache-of leaves the check of tokens to its origins: leave out KVIST_TOKEN and --token-file',
  ],
  [
    ['--cache-of', 'http://a:1', '--host', '0.0.0.0'],
    {},
    '--host 0.0.0.0 lets in other machines: the origins check their tokens, so say --no-auth if they need one',
  ],
  [['--cache-token-file', 'f'], {}, '--cache-token-file and --cache-ca are for a cache: say --cache-of'],
  [
    ['--cache-of', 'a:1'],
    {},
    '--cache-of must be the http or https URL of a server, like http://10.0.0.2:7070, or several with commas between them, not "a:1"',
  ],
  [
    ['--dialect', 'Ozza'],
    {},
    '--dialect must be ozza or keys or reforg or minstore or tenantbase, not "Ozza"',
  ],
  [['--cache-bytes', '64MiX'], {}, '--cache-bytes must be a size from 0 to 1TiB, like 64MiB, not "64MiX"'],
  [['--cache-bytes', '0.5'], {}, '--cache-bytes must be a size from 0 to 1TiB, like 64MiB, not "0.5"'],
  [['--cache-bytes', '2TiB'], {}, '--cache-bytes must be a size from 0 to 1TiB, like 64MiB, not "2TiB"'],
  [
    ['--keep-tombstones', '59s'],
    {},
    '--keep-tombstones must be a time from 1m to 36500d, in seconds or like 500ms, not "59s"',
  ],
  [['--idle-timeout', '0'], {}, '--idle-timeout must be a time from 1s to 255s, in whole seconds, not "0"'],
  [
    ['--idle-timeout', '1.5'],
    {},
    '--idle-timeout must be a time from 1s to 255s, in whole seconds, not "1.5"',
  ],
  [['--idle-timeout', '5m'], {}, '--idle-timeout must be a time from 1s to 255s, in whole seconds, not "5m"'],
  [
    ['--stop-timeout', '2h'],
    {},
    '--stop-timeout must be a time from 0 to 1h, in seconds or like 500ms, not "2h"',
  ],
  [['--log-level', 'debug'], {}, '--log-level must be error or warn or info, not "debug"'],
  [
    ['--access-log'],
    { KVIST_LOG_LEVEL: 'warn' },
    '--access-log writes events of level info, which --log-level warn leaves out',
  ],
  [
    ['--memcached-collection', '_own'],
    {},
    '--memcached-collection must be the name of a collection, not "_own"',
  ],
  [['--no-auth=false'], {}, '--no-auth takes no value'],
  [['--token', 'secret'], {}, 'serve has no option "--token": see kvist serve --help'],
  [['-p', '1'], {}, 'serve has no option "-p": see kvist serve --help'],
  [['folder'], {}, 'serve does not know what to do with "folder"'],
  [['--', '--port'], {}, 'serve does not know what to do with "--port"'],
  [['-12'], {}, 'serve does not know what to do with "-12"'],
  [
    [],
    { KVIST_TOKEN: '' },
    'KVIST_TOKEN is empty: it must be one or more visible ASCII characters, without spaces',
  ],
  [
    [],
    { KVIST_TOKEN: 'my secret' },
    'KVIST_TOKEN must be one or more visible ASCII characters, without spaces',
  ],
  [['--tls-cert', 'c.pem'], {}, '--tls-cert needs its private key: --tls-key'],
  [[], { KVIST_TLS_KEY: 'k.pem' }, '--tls-key needs its certificate: --tls-cert'],
  [
    ['--tls-client-ca', 'ca.pem'],
    {},
    '--tls-client-ca is for a server with TLS: say --tls-cert and --tls-key',
  ],
  [['--memcached-no-tls'], {}, '--memcached-no-tls is for a server with TLS: say --tls-cert and --tls-key'],
  [['--http2'], {}, '--http2 is for a server with TLS: say --tls-cert and --tls-key'],
  [['--tls-cert', ''], {}, '--tls-cert is empty: it must be the path of a file'],
  [
    ['--no-auth'],
    { KVIST_TOKEN: 'x' },
    '--no-auth and KVIST_TOKEN contradict each other: leave one of them out',
  ],
]

test.each(refused)('%j with %j is refused', (args, env, message) => {
  expect(() => parseConfig(args, env)).toThrow(new UsageError(message))
})

test.each([
  '0.0.0.0',
  '::',
  '192.168.1.4',
  'example.org',
  '127.0.0.1.example.org',
  '127.1',
  '::2',
  'localhost.example.org',
])('a server on %s is closed until somebody says who may come in', (host) => {
  const message = `--host ${host} lets in other machines: set KVIST_TOKEN or --token-file, or say --no-auth to do without`
  expect(() => parseConfig(['--host', host], {})).toThrow(new UsageError(message))
  expect(() => parseConfig([], { KVIST_HOST: host })).toThrow(new UsageError(message))
  expect(parseConfig(['--host', host], { KVIST_TOKEN: 't' }).host).toBe(host)
  expect(parseConfig(['--host', host, '--no-auth'], {}).host).toBe(host)
})

test('a memcached port beyond this machine is closed until somebody says who may come in', () => {
  const port = { memcachedPort: 11_211, memcachedHost: '::' }
  const args = ['--memcached-port', '11211', '--memcached-host', '::']
  const message =
    '--memcached-host :: lets in other machines: set KVIST_TOKEN or --token-file, which their clients then log in with, or say --memcached-no-auth to do without'
  expect(() => parseConfig(args, {})).toThrow(new UsageError(message))
  expect(parseConfig(args, { KVIST_TOKEN: 't' })).toMatchObject({ ...port, memcachedNoAuth: false })
  expect(parseConfig([...args, '--memcached-no-auth'], {})).toMatchObject(port)
  expect(parseConfig([...args, '--memcached-no-auth'], { KVIST_TOKEN: 't' })).toMatchObject(port)
  expect(parseConfig([...args, '--no-auth'], {})).toMatchObject(port)
})

test('a long value is shortened in its refusal', () => {
  const refusal = () => parseConfig(['--port', 'x'.repeat(10_000)], {})
  expect(refusal).toThrow(`not "${'x'.repeat(80)}…"`)
})
