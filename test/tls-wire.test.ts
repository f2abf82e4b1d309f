import { afterAll, expect } from 'bun:test'
import { certificateFolder } from './support/certificates.ts'
import { needing } from './support/needs.ts'
import { runToEnd } from './support/spawn.ts'

/** What the wire promises holds with TLS: the suites about it, with a certificate for each server. */

const { test } = needing('openssl')

const folder = certificateFolder()
afterAll(() => folder[Symbol.dispose]())

const suites = ['bodies', 'connections', 'requests', 'stop', 'time', 'unread']

test('the suites of the wire pass over TLS', async () => {
  const authority = await folder.authority('authority')
  await authority.issue('server')
  const files = suites.map((name) => `test/http-wire-${name}.test.ts`)
  const env = {
    ...process.env,
    KVIST_TEST_TLS: folder.path,
    KVIST_TEST_SERVER: undefined,
    NODE_EXTRA_CA_CERTS: authority.ca,
  }
  const command = [process.execPath, '--no-env-file', 'test', '--timeout=60000', ...files]
  const { exitCode, stdout, stderr } = await runToEnd(command, { env })
  expect({ exitCode, said: exitCode === 0 ? '' : stdout + stderr }).toEqual({ exitCode: 0, said: '' })
  expect(stderr).toContain(`across ${suites.length} files`)
}, 300_000)
