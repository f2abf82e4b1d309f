import { expect } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { YAML } from 'bun'
import { needing } from './support/needs.ts'
import { type Prometheus, startPrometheus } from './support/prometheus-server.ts'
import { newFolder, startServer, type TestServer } from './support/server.ts'

const { afterAll, beforeAll, test } = needing('prometheus')

/** What deploy/ has for Prometheus and Grafana, with a real Prometheus that scrapes a real kvist. */

const deploy = join(import.meta.dir, '../deploy')
const folder = newFolder()
const token = 'a-token'
const patienceMs = 50_000

interface PrometheusConfig {
  global: object
  rule_files: string[]
  scrape_configs: [{ job_name: string; authorization: object; static_configs: object[] }]
}
interface Rules {
  groups: { rules: { alert: string; expr: string }[] }[]
}
interface Alert {
  labels: { alertname: string }
  annotations: { summary: string }
}
interface Query {
  /** Where it stands, for the reader of a failure. */
  readonly title: string
  readonly expr: string
}
interface Dashboard {
  panels: { title: string; targets?: { expr: string }[] }[]
  templating: { list: { name: string; type: string; definition?: string }[] }
  annotations: { list: { name: string; expr: string }[] }
}

const config = YAML.parse(readFileSync(join(deploy, 'prometheus.yml'), 'utf8')) as PrometheusConfig
const rules = (YAML.parse(readFileSync(join(deploy, 'alerts.yml'), 'utf8')) as Rules).groups.flatMap(
  (group) => group.rules,
)
const dashboard: Dashboard = await Bun.file(join(deploy, 'grafana/dashboards/kvist.json')).json()

let server: TestServer
let target: TestServer
let cache: TestServer
let prometheus: Prometheus
let busy = true
let work: Promise<void>

beforeAll(async () => {
  target = await startServer()
  const flags = [
    '--memcached-port',
    '0',
    '--mirror-to',
    target.url,
    '--heal-every',
    '1s',
    '--archive',
    join(folder, 'archive'),
  ]
  server = await startServer({ env: { KVIST_TOKEN: token }, flags })
  writeFileSync(join(folder, 'token'), token)
  const access = ['--cache-token-file', join(folder, 'token')]
  cache = await startServer({ store: 'none', flags: ['--cache-of', server.url, ...access] })
  work = keepBusy()
  const [scrape] = config.scrape_configs
  // As it is deployed but for the places, and that it has no time.
  prometheus = await startPrometheus(join(folder, 'prometheus'), {
    ...config,
    global: { ...config.global, scrape_interval: '1s', evaluation_interval: '1s', scrape_timeout: '1s' },
    rule_files: config.rule_files.map((name) => join(deploy, name)),
    scrape_configs: [
      {
        ...scrape,
        authorization: { ...scrape.authorization, credentials_file: join(folder, 'token') },
        static_configs: [{ targets: [`127.0.0.1:${server.port}`, `127.0.0.1:${cache.port}`] }],
      },
    ],
  })
  const scraped = `sum_over_time(up{job="${scrape.job_name}"}[1m]) >= 4`
  while ((await valuesNow(scraped)).length === 0) await Bun.sleep(100)
})
afterAll(async () => {
  busy = false
  await work
  await Promise.all([prometheus?.stop(), cache?.remove(), server?.remove(), target?.remove()])
  rmSync(folder, { recursive: true, force: true })
})

/** Reads and writes a little all the time, so that rates are numbers. */
async function keepBusy(): Promise<void> {
  const headers = { authorization: `Bearer ${token}` }
  while (busy) {
    await (await fetch(`${server.url}/v1/some/a`, { method: 'PUT', body: '1', headers })).text()
    for (const { url } of [server, cache]) await (await fetch(`${url}/v1/some/a`, { headers })).text()
    await Bun.sleep(20)
  }
}

/** The numbers that an expression gives now: those that are none, as of nothing by nothing, are left out. */
async function valuesNow(expr: string): Promise<number[]> {
  const { result } = (await prometheus.ask('query', { query: expr })) as {
    result: { value: [seconds: number, value: string] }[]
  }
  return result.map(({ value: [, value] }) => Number(value)).filter(Number.isFinite)
}

/** The numbers that an expression gives. On a machine that stands still for a second a scrape may fail, and all is gone. */
async function valuesOf(expr: string): Promise<number[]> {
  let values = await valuesNow(expr)
  for (const untilMs = Date.now() + patienceMs; values.length === 0 && Date.now() < untilMs; ) {
    await Bun.sleep(500)
    values = await valuesNow(expr)
  }
  return values
}

async function alerts(): Promise<Alert[]> {
  return ((await prometheus.ask('alerts')) as { alerts: Alert[] }).alerts
}

/** As Grafana fills in the dashboard's variables. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '30s').replaceAll('$job', 'kvist').replaceAll('$instance', '.*')
}

const panelQueries: Query[] = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr })),
)

test('there is something to see', () => {
  expect(panelQueries.length).toBeGreaterThan(40)
  expect(rules.length).toBeGreaterThan(4)
})

test.each(panelQueries)('the dashboard shows numbers for $title: $expr', async ({ expr }) => {
  const asked = filledIn(expr)
  expect(asked).not.toContain('$')
  expect(await valuesOf(asked)).not.toBeEmpty()
})

test('the dashboard finds its job and its instances, and marks starts', async () => {
  const queries = dashboard.templating.list.flatMap(({ definition }) => definition ?? [])
  const found = queries.map(async (definition) => {
    const [, series = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(filledIn(definition)) ?? []
    return await prometheus.ask(`label/${label}/values`, { 'match[]': series })
  })
  const instances = [server, cache].map(({ port }) => `127.0.0.1:${port}`)
  expect(await Promise.all(found)).toEqual([['kvist'], instances.toSorted()])
  for (const { expr } of dashboard.annotations.list) {
    const [, value = ''] = /^(.+) > 0$/.exec(filledIn(expr)) ?? []
    expect([...new Set(await valuesOf(value))]).toEqual([0])
  }
})

test.each(rules)('$alert compares a number that there is', async ({ expr }) => {
  const [, value = ''] = /^(.+?) (?:==|>) [\d.]+$/s.exec(expr) ?? []
  expect(await valuesOf(value)).not.toBeEmpty()
})

test('no alert fires while all is well; one does when kvist does not respond', async () => {
  while ((await alerts()).length > 0) await Bun.sleep(100)
  const { groups } = (await prometheus.ask('rules')) as { groups: { rules: { health: string }[] }[] }
  expect(groups.flatMap((group) => group.rules.map(({ health }) => health))).toEqual(rules.map(() => 'ok'))

  busy = false
  await work
  await server.stop()
  while ((await alerts()).length === 0) await Bun.sleep(100)
  const [alert, ...others] = await alerts()
  expect(others).toEqual([])
  expect(alert?.labels.alertname).toBe('KvistDown')
  expect(alert?.annotations.summary).toStartWith(`127.0.0.1:${server.port} does not answer`)
})
