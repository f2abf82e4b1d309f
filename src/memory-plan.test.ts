import { afterEach, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cgroupLimitBytes, memoryLine, planMemory } from './memory-plan.ts'

const roots: string[] = []
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true })
})

/** A system with these files. */
function system(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'kvist-cgroup-'))
  roots.push(root)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

const none = '9223372036854771712\n'
const v1 = 'sys/fs/cgroup/memory'
const cases: [name: string, files: Record<string, string>, limit: number | null][] = [
  ['no control groups', {}, null],
  ['version 2, no limit', { 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/memory.max': 'max\n' }, null],
  ['version 2', { 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/memory.max': '1000\n' }, 1000],
  [
    'version 2, a smaller one above',
    {
      'proc/self/cgroup': '0::/a/b\n',
      'sys/fs/cgroup/a/memory.max': '500\n',
      'sys/fs/cgroup/a/b/memory.max': '1000\n',
    },
    500,
  ],
  ['version 2 in a container', { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': '700\n' }, 700],
  [
    'version 1',
    {
      'proc/self/cgroup': '5:cpu,cpuacct:/x\n4:memory:/a\n0::/\n',
      [`${v1}/a/memory.limit_in_bytes`]: '300\n',
      [`${v1}/memory.limit_in_bytes`]: none,
    },
    300,
  ],
  [
    'version 1 in a container, with the path of the host',
    { 'proc/self/cgroup': '4:hugetlb,memory:/docker/1f\n', [`${v1}/memory.limit_in_bytes`]: '400\n' },
    400,
  ],
  [
    'version 1, no limit',
    { 'proc/self/cgroup': '4:memory:/\n', [`${v1}/memory.limit_in_bytes`]: none },
    null,
  ],
]

test.each(cases)('the limit of the control group: %s', (_name, files, limit) => {
  expect(cgroupLimitBytes(system(files))).toBe(limit)
})

const mebibyte = 2 ** 20

test('what is taken follows the limit, from nothing to a machine of its own', () => {
  const cacheBytes = 192 * mebibyte
  const taken = (limit: number | null) => {
    const plan = planMemory(limit, cacheBytes)
    return [plan.segmentBytes / mebibyte, Math.floor(plan.cacheBytes / mebibyte)]
  }
  expect(taken(null)).toEqual([16, 192])
  expect(taken(2 ** 40)).toEqual([16, 192])
  expect(taken(512 * mebibyte)).toEqual([8, 64])
  expect(taken(200 * mebibyte)).toEqual([2, 25])
  expect(taken(128 * mebibyte)).toEqual([2, 16])
  expect(taken(10 * mebibyte)).toEqual([1, 1])
  // Exactly what docs/deploy.md says is enough.
  expect(taken(128_000_000)).toEqual([2, 15])
  expect([128, 255, 256].map((mebibytes) => planMemory(mebibytes * mebibyte, 0).isScarce)).toEqual([
    true,
    true,
    false,
  ])
  expect(planMemory(null, 0).isScarce).toBe(false)
  expect([null, 2 ** 40, 128 * mebibyte].map((limit) => planMemory(limit, 0).requestShare)).toEqual([
    1, 1, 0.25,
  ])
  // An operator who wants less gets less.
  expect(planMemory(512 * mebibyte, 1000).cacheBytes).toBe(1000)
})

test('the start says what was taken, and that too little is too little', () => {
  expect(memoryLine(planMemory(null, 0), 0)).toBeNull()
  expect(memoryLine(planMemory(200 * mebibyte, 2 ** 40), 62.5 * mebibyte)).toBe(
    'memory is limited to 200 MiB: segments of 2 MiB, a read cache of up to 25 MiB, large requests up to 62 MiB',
  )
  expect(memoryLine(planMemory(64 * mebibyte, 2 ** 40), 0)).toEndWith(
    '; kvist needs 122 MiB, and may be ended by the system with less',
  )
})
