import { expect, test } from 'bun:test'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { YAML } from 'bun'
import { parseRedisUrl } from '../src/engines/redis/servers.ts'
import { options } from '../src/server-options.ts'
import { newFolder } from './support/server.ts'
import { outputOf } from './support/spawn.ts'

/** compose.yaml and what it mounts must speak of the same places, names and ports. */

const root = join(import.meta.dir, '..')

interface Service {
  image: string
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  secrets?: string[]
  depends_on?: string[] | Record<string, unknown>
}
interface Compose {
  services: Record<'kvist' | 'prometheus' | 'grafana', Service>
  secrets: Record<string, { environment: string }>
  volumes: Record<string, null>
}
interface Mount {
  readonly from: string
  readonly to: string
}

const compose = parsed<Compose>('compose.yaml')
const { kvist, prometheus, grafana } = compose.services

function parsed<Shape>(path: string): Shape {
  return YAML.parse(readFileSync(join(root, path), 'utf8')) as Shape
}

function mountsOf({ volumes = [] }: Service): Mount[] {
  return volumes.map((volume) => {
    const [from = '', to = ''] = volume.split(':')
    return { from, to }
  })
}

/** The file of this checkout that a container sees at a path. */
function seenAt(service: Service, path: string): string | undefined {
  const mount = mountsOf(service).find(({ to }) => path === to || path.startsWith(`${to}/`))
  return mount === undefined ? undefined : join(root, mount.from, path.slice(mount.to.length))
}

test('what is mounted is there, or is a volume', () => {
  for (const { from } of Object.values(compose.services).flatMap(mountsOf)) {
    const isThere = from.startsWith('./') ? existsSync(join(root, from)) : from in compose.volumes
    expect([from, isThere]).toEqual([from, true])
  }
})

test('nothing is published beyond this machine, and nobody comes in without a secret of theirs', () => {
  const ports = Object.values(compose.services).flatMap(({ ports = [] }) => ports)
  expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([])
  const [secret = ''] = kvist.secrets ?? []
  expect(kvist.environment?.KVIST_TOKEN_FILE).toBe(`/run/secrets/${secret}`)
  expect(kvist.environment).not.toHaveProperty('KVIST_TOKEN')
  expect(compose.secrets[secret as 'kvist-token']).toEqual({ environment: 'KVIST_TOKEN' })
  expect(grafana.environment?.GF_SECURITY_ADMIN_PASSWORD).toStartWith('${GRAFANA_PASSWORD:?')
})

test('images have versions', () => {
  for (const { image } of [prometheus, grafana]) expect(image).toMatch(/:v?\d+\.\d+\.\d+$/)
})

test('kvist keeps its data in the volume of the image', () => {
  const [, volume] = /^VOLUME (.+)$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8')) ?? []
  expect(mountsOf(kvist).map(({ to }) => to)).toEqual([volume ?? ''])
})

test('Prometheus finds kvist, its token, and the alerts', () => {
  const at = '/etc/prometheus/prometheus.yml'
  expect(seenAt(prometheus, at)).toBe(join(root, 'deploy/prometheus.yml'))
  const config = parsed<{
    rule_files: string[]
    scrape_configs: [{ authorization: { credentials_file: string }; static_configs: [{ targets: string[] }] }]
  }>('deploy/prometheus.yml')
  const [scrape] = config.scrape_configs
  expect(scrape.static_configs[0].targets).toEqual([`kvist:${options.port.default}`])
  const [secret = ''] = prometheus.secrets ?? []
  expect(scrape.authorization.credentials_file).toBe(`/run/secrets/${secret}`)
  expect(compose.secrets[secret]).toEqual({ environment: 'KVIST_TOKEN' })
  for (const name of config.rule_files) {
    expect(existsSync(seenAt(prometheus, join(at, '..', name)) ?? '')).toBe(true)
  }
})

test('Grafana finds Prometheus, and the dashboard', () => {
  const provisioning = '/etc/grafana/provisioning'
  expect(seenAt(grafana, provisioning)).toBe(join(root, 'deploy/grafana/provisioning'))
  const { datasources } = parsed<{ datasources: [{ url: string; isDefault: boolean }] }>(
    'deploy/grafana/provisioning/datasources/prometheus.yml',
  )
  expect(datasources[0]).toMatchObject({ url: 'http://prometheus:9090', isDefault: true })
  expect(prometheus.ports).toEqual(['127.0.0.1:9090:9090'])
  const { providers } = parsed<{ providers: [{ options: { path: string } }] }>(
    'deploy/grafana/provisioning/dashboards/kvist.yml',
  )
  const folder = providers[0].options.path
  expect(existsSync(join(seenAt(grafana, folder) ?? '', 'kvist.json'))).toBe(true)
  expect(grafana.environment?.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH).toBe(`${folder}/kvist.json`)
})

test('the service of the tests runs them in a copy of the checkout, without what this machine has built', async () => {
  const service = parsed<{ services: Record<string, Clustered & Service> }>('compose.yaml').services.test!
  expect(service.profiles).toEqual(['test'])
  expect(seenAt(service, '/checkout/package.json')).toBe(join(root, 'package.json'))
  const folder = newFolder()
  try {
    mkdirSync(join(folder, 'src'))
    writeFileSync(join(folder, 'npm'), '#!/bin/sh\necho "npm $*"; ls -A\n', { mode: 0o755 })
    const command = [service.command].flat().map((word) => `${word}`.replace('/checkout', root))
    const env = { PATH: `${folder}:${process.env.PATH}` }
    const [ran, ...files] = (await outputOf(command, { cwd: join(folder, 'src'), env })).trim().split('\n')
    expect(ran).toBe('npm test')
    for (const name of ['package.json', 'scripts', 'test', '.git', '.npmrc']) expect(files).toContain(name)
    for (const name of ['node_modules', 'dist', '.cache']) expect(files).not.toContain(name)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the cluster has three primaries with a replica each, whose addresses stay, and kvist has those of some', () => {
  const services = parsed<{ services: Record<string, Clustered> }>('compose.yaml').services
  const inProfile = Object.entries(services).filter(([, { profiles }]) => profiles?.includes('cluster'))
  const redis = inProfile.filter(([, { networks }]) => networks !== undefined && 'cluster' in networks)
  expect(redis.map(([name]) => name)).toEqual([1, 2, 3, 4, 5, 6].map((n) => `redis-${n}`))
  const addresses = redis.map(([, { networks }]) => networks!.cluster!.ipv4_address)
  for (const [, { command }] of redis) {
    for (const setting of [
      '--cluster-enabled yes',
      '--appendonly yes',
      '--appendfsync always',
      'noeviction',
    ]) {
      expect(command).toContain(setting)
    }
  }
  const create = [services['redis-cluster']!.command].flat().join(' ')
  expect([...create.matchAll(/[\d.]+(?=:6379)/g)].map(([address]) => address)).toEqual(addresses)
  for (const name of ['kvist-1', 'kvist-2']) {
    const { servers } = parseRedisUrl(services[name]!.environment!.KVIST_ENGINE!)
    expect(servers.every(({ host, port }) => addresses.includes(host) && port === 6379)).toBe(true)
  }
})

test('nginx passes requests to both servers of the cluster, and a write to one of them only', () => {
  const text = readFileSync(join(root, 'deploy/nginx-cluster.conf'), 'utf8')
  const upstreams = [...text.matchAll(/server ([\w-]+):(\d+)/g)].map(([, name, port]) => [name, Number(port)])
  expect(upstreams).toEqual([
    ['kvist-1', options.port.default],
    ['kvist-2', options.port.default],
  ])
  expect(text).toMatch(/location @write \{[^}]*proxy_next_upstream off;/)
  for (const setting of ['proxy_buffering off', 'proxy_request_buffering off', 'client_max_body_size 0']) {
    expect(text).toContain(`${setting};`)
  }
})

interface Clustered {
  profiles?: string[]
  command?: string | string[]
  environment?: Record<string, string>
  networks?: Record<string, { ipv4_address: string }>
}
