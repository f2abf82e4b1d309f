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
