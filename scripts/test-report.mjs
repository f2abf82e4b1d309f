import { readFileSync } from 'node:fs'

/**
 * What `bun test` says in the report that it writes for JUnit; null without a report, as when a test ended the process.
 * `skipped` maps files to how many of their tests were skipped.
 */
export function readReport(path) {
  let xml
  try {
    xml = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  const head = /<testsuites\b[^>]*>/.exec(xml)?.[0]
  if (head === undefined) return null
  const number = (name) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1])
  const files = new Set([...xml.matchAll(/<testsuite\b[^>]* file="([^"]*)"/g)].map((match) => match[1]))
  const skipped = new Map()
  for (const [, file] of xml.matchAll(/<testcase\b[^>]* file="([^"]*)"[^>]*>\s*<skipped\b/g)) {
    skipped.set(file, (skipped.get(file) ?? 0) + 1)
  }
  return { tests: number('tests'), failures: number('failures'), skipped, files }
}

export function skippedTests({ skipped }) {
  return [...skipped.values()].reduce((sum, one) => sum + one, 0)
}

/**
 * What a run lacks that should have been of all these files. A test is skipped for want of a program or a right that it
 * needs: in CI each is a fault, elsewhere it is named. In the fast tier it needs a process of its own, which is as it should.
 */
export function lackingIn({ tests, files, skipped }, expected, { isFast, isCi }) {
  const faults = tests === 0 ? ['no tests were run'] : []
  for (const file of expected) if (!files.has(file)) faults.push(`${file}: none of its tests were run`)
  if (isFast) return { faults, leftOut: [] }
  const leftOut = [...skipped].map(([file, count]) => `${file}: ${count} skipped`)
  if (!isCi) return { faults, leftOut }
  for (const [file, count] of skipped) {
    for (let i = 0; i < count; i++) faults.push(`${file}: a test was skipped, which none may be in CI`)
  }
  return { faults, leftOut: [] }
}
