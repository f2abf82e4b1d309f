import type { Importer } from './importer.ts'

/** Every source of `kvist import --from`. The code of one is loaded when it is named. */
export const importers = {
  pickledb: async () => (await import('./pickledb.ts')).pickledb,
  ozza: async () => (await import('./ozza.ts')).ozza,
  tenantbase: async () => (await import('./tenantbase.ts')).tenantbase,
  minstore: async () => (await import('./minstore.ts')).minstore,
  reforg: async () => (await import('./reforg.ts')).reforg,
  redis: async () => (await import('./redis/redis.ts')).redis,
  rdb: async () => (await import('./rdb/rdb.ts')).rdb,
  memcached: async () => (await import('./memcached/memcached.ts')).memcached,
  etcd: async () => (await import('./etcd.ts')).etcd,
  consul: async () => (await import('./consul.ts')).consul,
  'cloudflare-kv': async () => (await import('./cloudflare-kv.ts')).cloudflareKv,
  csv: async () => (await import('./csv.ts')).csv,
  json: async () => (await import('./json.ts')).json,
} satisfies Readonly<Record<string, () => Promise<Importer>>>

export type SourceName = keyof typeof importers

export const sourceNames = Object.keys(importers) as SourceName[]
