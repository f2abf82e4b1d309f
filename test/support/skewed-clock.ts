import { readFileSync } from 'node:fs'

/**
 * Preloaded into a server: its wall clock is off by as many milliseconds as the file says that SKEW_FILE names. The file is
 * read again and again, so the clock can be set while the server runs.
 */
const path = process.env.SKEW_FILE
const realNow = Date.now
let skewMs = 0

function read(): void {
  if (path !== undefined) skewMs = Number(readFileSync(path, 'utf8')) || 0
}

read()
setInterval(read, 20).unref()
Date.now = () => realNow() + skewMs
const { Date: RealDate } = globalThis
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, newTarget) =>
    Reflect.construct(target, given.length === 0 ? [target.now()] : given, newTarget),
})
