#!/usr/bin/env node
/**
 * Runs kvist on the Bun that npm installed with it, by the name of its package, so that no install script has to run.
 * Uses nothing but Node.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const { resolve } = createRequire(import.meta.url)

/** What `bin/kvist` of a checkout sets, and why is said there. */
const environment = {
  BUN_JSC_forceRAMSize: '700000000',
  BUN_JSC_gcMaxHeapSize: '16000000',
  BUN_CONFIG_MAX_HTTP_REQUESTS: '65000',
}

function fail(message) {
  process.stderr.write(`kvist: ${message}\n`)
  process.exit(1)
}

/** The name of the package that holds Bun for this machine. */
function bunPackage() {
  const arch = { arm64: 'aarch64', x64: 'x64' }[process.arch]
  const isMusl = process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
  return `@oven/bun-${process.platform}-${arch}${isMusl ? '-musl' : ''}`
}

function findBun() {
  const name = bunPackage()
  try {
    return join(dirname(resolve(`${name}/package.json`)), 'bin/bun')
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error
    return fail(
      `${name} is not installed: install kvist without --omit=optional, on a system that Bun runs on`,
    )
  }
}

const bun = findBun()
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const args = ['--no-env-file', '--config=/dev/null', '--no-install', main, ...process.argv.slice(2)]
const env = { ...environment, ...process.env }

// Newer versions of Node can become another program, and signals then reach kvist itself.
if (process.execve) process.execve(bun, [bun, ...args], env)

// Without that, kvist is a child: it gets the signals, and ends when this process is killed.
const child = spawn(bun, ['--no-orphans', ...args], { stdio: 'inherit', env })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // A terminal has sent its Ctrl-C to both, and a second one would end kvist at once.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  })
}
child.on('error', (error) => fail(error.message))
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
