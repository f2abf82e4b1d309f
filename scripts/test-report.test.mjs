import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lackingIn, readReport, skippedTests } from './test-report.mjs'
import { longest, slow, testFiles } from './test-tiers.mjs'

const root = join(import.meta.dir, '..')

const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="5" assertions="0" failures="1" skipped="3" time="0.007">
  <testsuite name="test/a.test.ts" file="test/a.test.ts" tests="4" skipped="3">
    <testcase name="a &lt;b&gt; &amp; &quot;c&quot;" classname="" time="0" file="test/a.test.ts" line="4">
      <skipped />
    </testcase>
    <testsuite name="inner" file="test/a.test.ts" line="5" tests="3" skipped="2">
      <testcase name="x" time="0" file="test/a.test.ts" line="5">
        <skipped />
      </testcase>
      <testcase name="y" time="0" file="test/a.test.ts" line="5">
        <skipped />
      </testcase>
      <testcase name="z" time="0" file="test/a.test.ts" line="5" />
    </testsuite>
  </testsuite>
  <testsuite name="test/b.test.ts" file="test/b.test.ts" tests="1">
    <testcase name="b" time="0" file="test/b.test.ts" line="5">
      <failure type="AssertionError" />
    </testcase>
  </testsuite>
</testsuites>`

function reportOf(text) {
  const folder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  const path = join(folder, 'junit.xml')
  writeFileSync(path, text)
  const report = readReport(path)
  rmSync(folder, { recursive: true })
  return report
}

test('a report has its tests, its failures, and how many of each file were skipped', () => {
  const report = reportOf(xml)
  expect(report).toMatchObject({ tests: 5, failures: 1 })
  expect(report.skipped).toEqual(new Map([['test/a.test.ts', 3]]))
  expect(skippedTests(report)).toBe(3)
  expect(report.files).toEqual(new Set(['test/a.test.ts', 'test/b.test.ts']))
})

test('there is no report where bun wrote none, or was cut off', () => {
  expect(readReport(join(root, 'no-such-report.xml'))).toBeNull()
  expect(reportOf('<?xml version="1.0"')).toBeNull()
})

test('what is skipped is named, in CI it is a fault each, and in the fast tier it is as it should be', () => {
  const report = reportOf(xml)
  const all = ['test/a.test.ts', 'test/b.test.ts']
  const leftOut = ['test/a.test.ts: 3 skipped']
  const lacking = (tier) => lackingIn(report, all, { isFast: false, isCi: false, ...tier })
  expect(lacking({})).toEqual({ faults: [], leftOut })
  expect(lacking({ isCi: true })).toEqual({
    faults: Array(3).fill('test/a.test.ts: a test was skipped, which none may be in CI'),
    leftOut: [],
  })
  expect(lacking({ isFast: true, isCi: true })).toEqual({ faults: [], leftOut: [] })
})

test('a file of which nothing was run is a fault, and so is a run of nothing', () => {
  const missing = lackingIn(reportOf(xml), ['test/c.test.ts'], { isFast: false, isCi: false })
  expect(missing.faults).toEqual(['test/c.test.ts: none of its tests were run'])
  const nothing = { tests: 0, failures: 0, skipped: new Map(), files: new Set() }
  expect(lackingIn(nothing, [], { isFast: true, isCi: false }).faults).toEqual(['no tests were run'])
})

test('the tables of the tiers name files that there are', () => {
  const files = testFiles(root, false)
  expect(longest.filter((file) => !files.includes(file))).toEqual([])
  const starts = Object.values(slow).flat()
  expect(starts.filter((start) => !files.some((file) => file.startsWith(start)))).toEqual([])
  expect(testFiles(root, true).length).toBeGreaterThan(files.length / 2)
})
