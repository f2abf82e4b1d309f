import { spawn } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Builds the program that tests run as a process of its own: the executable, with the options for the runtime that `bin/kvist`
 * sets. From the sources each start compiles all modules anew, which takes five times the processor time, and tests start some
 * hundreds. Resolves with the variables that name both for tests, or with null and what was printed when it could not be built.
 */
export async function buildTestProgram(root, env, folder) {
  const executable = join(folder, 'executable/kvist')
  const args = ['--no-env-file', join(root, 'scripts/build.ts'), executable]
  const child = spawn('bun', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data))
  const ok = await new Promise((resolve) => {
    child.on('error', () => resolve(false))
    child.on('close', (code) => resolve(code === 0))
  })
  if (!ok) return { variables: null, output }
  const program = join(folder, 'kvist')
  const options = readFileSync(join(root, 'bin/kvist'), 'utf8').match(/^export .*$/gm)
  writeFileSync(program, ['#!/bin/sh', ...options, `exec "${executable}" "$@"`, ''].join('\n'))
  chmodSync(program, 0o755)
  return { variables: { KVIST_TEST_PROGRAM: program, KVIST_TEST_EXECUTABLE: executable }, output }
}
