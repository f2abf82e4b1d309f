import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { YAML } from 'bun'
import manifest from '../package.json' with { type: 'json' }
import { parseConfig } from '../src/config.ts'
import { options } from '../src/server-options.ts'
import { parseDockerfile } from './support/dockerfile.ts'

/** The manifests for Kubernetes agree with each other, with the image, and with the options of kvist. */

const root = join(import.meta.dir, '..')

interface Resource {
  readonly kind: string
  readonly spec: {
    readonly selector: Readonly<Record<string, unknown>>
    readonly template: { readonly metadata: { readonly labels: unknown }; readonly spec: Pod }
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
    readonly ports: readonly { readonly port: number; readonly targetPort: string }[]
    readonly serviceName?: string
  }
  readonly metadata: { readonly name: string }
}

interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: {
    readonly runAsUser: number
    readonly runAsGroup: number
    readonly fsGroup: number
  }
  readonly containers: readonly [Container]
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[]
}

interface Container {
  readonly image: string
  readonly env: readonly {
    readonly name: string
    readonly value?: string
    readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } }
  }[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
  readonly [probe: `${string}Probe`]: { readonly httpGet: { readonly path: string; readonly port: string } }
}

const [, image = []] = parseDockerfile(readFileSync(join(root, 'Dockerfile'), 'utf8'))
const imageEnvironment = Object.fromEntries(
  image
    .filter(({ name }) => name === 'ENV')
    .flatMap(({ text }) =>
      [...text.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
    ),
)

describe.each(['sqlite', 'redis'])('deploy/kubernetes/%s.yaml', (name) => {
  const text = readFileSync(join(root, `deploy/kubernetes/${name}.yaml`), 'utf8')
  const resources = YAML.parse(text) as Resource[]
  const workload = resources.find(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment')!
  const pod = workload.spec.template.spec
  const [container] = pod.containers
  /** What the container gets, with text in place of secrets. */
  const env: Record<string, string> = Object.fromEntries(
    container.env.map(({ name, value, valueFrom }) => [
      name,
      value ?? (valueFrom?.secretKeyRef.name === 'kvist-engine' ? 'redis://redis-0.redis:6379' : ''),
    ]),
  )

  test('services and budgets choose its pods', () => {
    const { labels } = workload.spec.template.metadata
    for (const { kind, spec } of resources) {
      const selector = kind === 'Service' ? spec.selector : spec.selector.matchLabels
      expect([kind, selector]).toEqual([kind, labels])
      for (const { port, targetPort } of kind === 'Service' ? spec.ports : [])
        expect([port, targetPort]).toEqual([options.port.default, container.ports[0]!.name])
    }
    const { serviceName } = workload.spec
    if (serviceName !== undefined)
      expect(resources.map(({ metadata }) => metadata.name)).toContain(serviceName)
  })

  test('it runs the image of this version, as its user, on its port', () => {
    expect(container.image).toBe(`kvist:${manifest.version}`)
    const user = image.find(({ name }) => name === 'USER')?.text.split(':')[0]
    const { runAsUser, runAsGroup, fsGroup } = pod.securityContext
    expect([runAsUser, runAsGroup, fsGroup]).toEqual([Number(user), Number(user), Number(user)])
    expect(container.ports[0]!.containerPort).toBe(options.port.default)
  })

  test('kvist understands its environment, and keeps its data in a volume', () => {
    const { KVIST_TOKEN_FILE: tokenFile = '', ...others } = { ...imageEnvironment, ...env }
    // The file is not here; the token itself stands for it.
    const config = parseConfig([], { ...others, KVIST_TOKEN: 'sesame' })
    expect([config.host, config.port]).toEqual(['0.0.0.0', options.port.default])
    const mounts = container.volumeMounts.map(({ mountPath }) => mountPath)
    for (const path of [others.KVIST_DATA ?? '', tokenFile])
      expect(mounts.filter((mount) => path === mount || path.startsWith(`${mount}/`))).toHaveLength(1)
    const volumes = [
      ...pod.volumes,
      ...(workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata),
    ]
    expect(volumes.map(({ name }) => name).toSorted()).toEqual(
      container.volumeMounts.map(({ name }) => name).toSorted(),
    )
  })

  test('what is in flight ends before the pod is killed, and its probes are those of kvist', () => {
    const stopSeconds = Number(/^(\d+)s$/.exec(env.KVIST_STOP_TIMEOUT ?? '')?.[1])
    expect(stopSeconds + 5).toBeLessThan(pod.terminationGracePeriodSeconds)
    const paths = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const
    expect(paths.map((probe) => container[probe]?.httpGet)).toEqual(
      ['/readyz', '/readyz', '/healthz'].map((path) => ({ path, port: container.ports[0]!.name })),
    )
  })

  test('the lines at its beginning make the secrets that it needs', () => {
    const made = [...text.matchAll(/^# {3}kubectl create secret generic (\S+) --from-literal=(\w+)=/gm)]
    const used = [
      ...pod.volumes.flatMap(({ secret }) => (secret === undefined ? [] : [[secret.secretName, 'token']])),
      ...container.env.flatMap(({ valueFrom }) =>
        valueFrom === undefined ? [] : [[valueFrom.secretKeyRef.name, valueFrom.secretKeyRef.key]],
      ),
    ]
    expect(made.map(([, secret, key]) => [secret, key]).toSorted()).toEqual(used.toSorted())
    expect(text).toContain(`#   kubectl apply -f deploy/kubernetes/${name}.yaml`)
  })
})
