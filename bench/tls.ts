/**
 * Measures TLS: GET and PUT over kept connections to kvist with a certificate, to nginx with the same certificate in
 * front of kvist, and to kvist without TLS, in turns. `--help` lists the options.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { importIntoKvist } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { chooseOptions, tlsOptions } from './options.ts'
import { killAll, removeFolder, type Server, startServer, waitUntilReady } from './process.ts'
import { median } from './statistics.ts'
import { runWrk, type WrkFigures } from './wrk.ts'

const kvistProgram = join(import.meta.dir, '../bin/kvist')
const ports = { kvist: 17_801, nginx: 17_802, plain: 17_803 }

const ways = [
  { name: 'kvist', title: 'kvist with TLS', port: ports.kvist, scheme: 'https' },
  { name: 'nginx', title: 'nginx with TLS before kvist', port: ports.nginx, scheme: 'https' },
  { name: 'plain', title: 'kvist without TLS', port: ports.plain, scheme: 'http' },
] as const

const loads = [
  { name: 'GET', request: kvistRequests.get },
  { name: 'PUT', request: kvistRequests.put },
] as const

const options = chooseOptions(tlsOptions)
const dataDir = join(resolve(options.text('data')), 'tls')
const members = options.number('members')
const cert = join(dataDir, 'cert.pem')
const key = join(dataDir, 'key.pem')

function makeCertificate(): void {
  const elliptic = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const files = ['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost']
  const done = Bun.spawnSync(['openssl', 'req', '-x509', ...elliptic, ...files])
  if (!done.success) throw new Error(`openssl: ${done.stderr}`)
}

/** Stopped in the end, however that comes: nginx would leave its workers behind. */
const running: Server[] = []

async function startKvist(name: string, port: number, flags: readonly string[] = []): Promise<Server> {
  const data = ['--data', join(dataDir, name)]
  const server = startServer(name, [kvistProgram, 'serve', '--port', `${port}`, ...data, ...flags], dataDir)
  running.push(server)
  const scheme = flags.length > 0 ? 'https' : 'http'
  await waitUntilReady(server, `${scheme}://127.0.0.1:${port}/readyz`, 'ready')
  return server
}

async function startNginx(): Promise<void> {
  const config = join(dataDir, 'nginx.conf')
  writeFileSync(
    config,
    `daemon off; pid ${dataDir}/nginx.pid; error_log stderr; worker_processes auto;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path ${dataDir}/nginx-body; proxy_temp_path ${dataDir}/nginx-proxy;
  fastcgi_temp_path ${dataDir}/nginx-f; uwsgi_temp_path ${dataDir}/nginx-u; scgi_temp_path ${dataDir}/nginx-s;
  upstream kvist { server 127.0.0.1:${ports.plain}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${ports.nginx} ssl;
    ssl_certificate ${cert}; ssl_certificate_key ${key};
    location / { proxy_pass http://kvist; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}
`,
  )
  const server = startServer('nginx', ['nginx', '-p', dataDir, '-c', config], dataDir)
  running.push(server)
  await waitUntilReady(server, `https://127.0.0.1:${ports.nginx}/readyz`, 'ready')
}

type Figures = Record<(typeof ways)[number]['name'], WrkFigures[]>

async function measure(found: Map<string, Figures>): Promise<void> {
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const { name, request } of loads) {
      for (const way of round % 2 === 0 ? ways.toReversed() : ways) {
        const { port, scheme } = way
        const seconds = options.number('seconds')
        const load = { port, scheme, request, choose: 'random', members, connections: 64, seconds } as const
        const figures = await runWrk({ ...load, seed: round })
        if (figures.errors > 0) throw new Error(`${way.title}: ${figures.errors} of ${name} went wrong`)
        found.get(name)![way.name].push(figures)
      }
    }
  }
}

async function run(): Promise<Map<string, Figures>> {
  removeFolder(dataDir)
  mkdirSync(dataDir, { recursive: true })
  makeCertificate()
  try {
    const importing = await startKvist('kvist', ports.kvist)
    await importIntoKvist(ports.kvist, members)
    await importing.stop()
    await startKvist('kvist', ports.kvist, ['--tls-cert', cert, '--tls-key', key])
    await startKvist('plain', ports.plain)
    await importIntoKvist(ports.plain, members)
    await startNginx()
    const found = new Map(loads.map(({ name }) => [name, { kvist: [], nginx: [], plain: [] } as Figures]))
    await measure(found)
    return found
  } finally {
    for (const server of running.toReversed()) await server.stop()
    removeFolder(dataDir)
  }
}

function table(found: ReadonlyMap<string, Figures>): string {
  const lines = [...found].flatMap(([load, figures]) =>
    ways.map(({ name, title }) => {
      const of = (pick: (one: WrkFigures) => number) => median(figures[name].map(pick))
      const ratios = figures.kvist.map(({ perSecond }, i) => perSecond / figures[name][i]!.perSecond)
      const [perSecond, p50, p99] = [
        of((one) => one.perSecond),
        of((one) => one.p50Ms),
        of((one) => one.p99Ms),
      ]
      return `| ${load} | ${title} | ${Math.round(perSecond)} | ${median(ratios).toFixed(2)} | ${p50.toFixed(2)} | ${p99.toFixed(2)} |`
    }),
  )
  return [
    '| 64 connections | | a second | kvist with TLS is | p50 ms | p99 ms |',
    '| --- | --- | --: | --: | --: | --: |',
    ...lines,
  ].join('\n')
}

try {
  console.log(table(await run()))
} catch (error) {
  await killAll()
  throw error
}
