/**
 * Measures the console's list of a million members in Chromium: frames while it is scrolled by the wheel, and how long it takes
 * until rows are there after the scrollbar was dragged to the middle and the end. The first argument is another number of members.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { startBrowser } from '../test/support/browser.ts'
import { startServer } from './process.ts'
import { median } from './statistics.ts'

const port = 17_702
const url = `http://127.0.0.1:${port}`
const members = Number(process.argv[2] ?? 1_000_000)
const chunk = 50_000
const scrollMs = 5000
/** A frame that takes longer than this one is seen: 50 a second. */
const longFrameMs = 20

const keyOf = (i: number) => `user-${String(i).padStart(7, '0')}`

async function fill(): Promise<void> {
  for (let from = 0; from < members; from += chunk) {
    const lines = Array.from({ length: Math.min(chunk, members - from) }, (_, i) => {
      const value = { name: `Person ${from + i}`, city: 'Umeå', visits: i % 97, tags: ['north'] }
      return JSON.stringify({ key: keyOf(from + i), value })
    })
    const headers = { 'content-type': 'application/x-ndjson' }
    const response = await fetch(`${url}/v1/users`, { method: 'POST', headers, body: lines.join('\n') })
    if (!response.ok) throw new Error(await response.text())
  }
}

/** Scrolls as a wheel or a finger does, `pxPerFrame` at each frame, and returns how long the frames took. */
async function scroll(page: Page, pxPerFrame: number): Promise<{ frames: number[]; blank: number }> {
  return page.evaluate(`new Promise((resolve) => {
    const grid = document.querySelector('[role=grid]')
    const frames = []
    let blank = 0
    const begun = performance.now()
    let before = begun
    function frame(now) {
      frames.push(now - before)
      before = now
      const seen = document.elementFromPoint(grid.getBoundingClientRect().left + 80, innerHeight / 2)?.closest('[role=row]')
      if (!seen?.querySelector('a')) blank++
      if (now - begun > ${scrollMs}) return resolve({ frames: frames.slice(1), blank })
      grid.scrollTop += ${pxPerFrame}
      requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  })`)
}

async function drag(page: Page, share: number): Promise<{ ms: number; key: string }> {
  return page.evaluate(`new Promise((resolve) => {
    const grid = document.querySelector('[role=grid]')
    const begun = performance.now()
    const linkSeen = () =>
      document.elementFromPoint(grid.getBoundingClientRect().left + 80, innerHeight / 2)?.closest('[role=row]')?.querySelector('a')
    const before = linkSeen()?.textContent
    grid.scrollTop = (grid.scrollHeight - grid.clientHeight) * ${share}
    function inspect() {
      const key = linkSeen()?.textContent
      if (key !== undefined && key !== before) resolve({ ms: performance.now() - begun, key })
      else requestAnimationFrame(inspect)
    }
    requestAnimationFrame(inspect)
  })`)
}

const folder = mkdtempSync(join(tmpdir(), 'kvist-bench-console-'))
const program = join(import.meta.dir, '../bin/kvist')
const server = startServer('kvist', [program, 'serve', '--port', `${port}`, '--data', folder], folder)
const browser = await startBrowser()
try {
  while (!(await fetch(`${url}/readyz`).catch(() => null))?.ok) await Bun.sleep(50)
  await fill()
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  await page.goto(`${url}/console/c/users`)
  await page.getByText(`of ${members.toLocaleString('en')}`).waitFor()
  console.log(`${members.toLocaleString('en')} members`)
  const metrics = await page.context().newCDPSession(page)
  await metrics.send('Performance.enable', { timeDomain: 'threadTicks' })
  const busySeconds = async () =>
    (await metrics.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration')!.value
  for (const [name, pxPerFrame] of [
    ['slowly', 8],
    ['as a wheel does', 60],
    ['as fast as a wheel can', 400],
  ] as const) {
    const before = await busySeconds()
    const { frames, blank } = await scroll(page, pxPerFrame)
    const busyMs = ((await busySeconds()) - before) * 1000
    const sorted = frames.toSorted((a, b) => a - b)
    const perSecond = (frames.length / frames.reduce((sum, ms) => sum + ms, 0)) * 1000
    const long = frames.filter((ms) => ms > longFrameMs).length
    console.log(
      `${name}: ${perSecond.toFixed(1)} frames a second, median ${median(sorted).toFixed(1)} ms, p95 ${sorted[Math.floor(sorted.length * 0.95)]!.toFixed(1)} ms, ` +
        `${((long / frames.length) * 100).toFixed(1)} % longer than ${longFrameMs} ms, ${(busyMs / frames.length).toFixed(1)} ms of processor time each, ${blank} of ${frames.length} without rows`,
    )
  }
  for (const share of [0.5, 0.25, 0.9, 1, 0.5, 0]) {
    const { ms, key } = await drag(page, share)
    console.log(`dragged to ${share * 100} %: ${key} after ${ms.toFixed(0)} ms`)
  }
} finally {
  await browser.close()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}
