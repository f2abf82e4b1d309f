import { describe, expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { converse, emptied, toy } from '../../test/support/memcached/conversation.ts'
import { type OpenPort, openPort } from '../../test/support/memcached/open-port.ts'
import { randomConversation } from '../../test/support/memcached/random-conversation.ts'
import { textClient } from '../../test/support/memcached/text-client.ts'
import { needing } from '../../test/support/needs.ts'
import { seedOfRun } from '../../test/support/random.ts'
import { newFolder } from '../../test/support/server.ts'
import recorded from './recorded.json'

/**
 * Recorded and random conversations with a real memcached, with kvist's port, and with the toy. The toy responds to both
 * as memcached does and as kvist does, which differ in one thing: in kvist a touch changes the cas unique.
 */

/** Conversations of each kind; one with memcached takes some 3 ms. */
const numRuns = 400

async function converseWith(port: number, asks: readonly string[]): Promise<string[]> {
  const client = await textClient(port)
  const responses = await converse(asks, await emptied(client))
  client.destroy()
  return responses
}

/** A second may pass in the middle of a conversation with memcached, and show; it does not twice. */
async function expectResponses(
  port: number,
  asks: readonly string[],
  expected: readonly string[],
  tries = 1,
) {
  for (let again = 1; again < tries; again++) {
    if (Bun.deepEquals(await converseWith(port, asks), expected)) return
  }
  const responses = await converseWith(port, asks)
  expect(responses.map((response, i) => [asks[i], response])).toEqual(
    expected.map((response, i) => [asks[i]!, response]),
  )
}

describe('memcached, as Debian has it', () => {
  const { test, beforeAll, afterAll } = needing('memcached')
  const folder = newFolder()
  let memcached: Bun.Subprocess | undefined
  let port = 0

  beforeAll(async () => {
    const portFile = join(folder, 'port')
    const flags = ['-p', '-1', '-U', '0', '-l', '127.0.0.1', '-u', process.env.USER ?? 'root']
    memcached = Bun.spawn(['memcached', ...flags], {
      env: { ...process.env, MEMCACHED_PORT_FILENAME: portFile },
      stderr: 'inherit',
    })
    while (port === 0) {
      await Bun.sleep(10)
      port = Number(/TCP INET: (\d+)/.exec(readIfThere(portFile))?.[1] ?? 0)
    }
  })
  afterAll(async () => {
    memcached?.kill()
    await memcached?.exited
    rmSync(folder, { recursive: true, force: true })
  })

  test('still says what was recorded', async () => {
    for (const { steps } of recorded) {
      await expectResponses(
        port,
        steps.map(({ ask }) => ask),
        steps.map(({ memcached }) => memcached),
        2,
      )
    }
  })

  test('responds to random conversations as the model does', async () => {
    await fc.assert(
      fc.asyncProperty(randomConversation, async (asks) => {
        await expectResponses(port, asks, await converse(asks, toy()), 2)
      }),
      { seed: seedOfRun(), numRuns },
    )
  })
})

describe("kvist's port", () => {
  test('responds to what was recorded as the model does', async () => {
    await using opened = await openUsedPort()
    for (const { steps } of recorded) {
      const asks = steps.map(({ ask }) => ask)
      await expectResponses(opened.port, asks, await converse(asks, toy(true)))
    }
  })

  test('responds to random conversations as the model does', async () => {
    await using opened = await openUsedPort()
    await fc.assert(
      fc.asyncProperty(randomConversation, async (asks) => {
        await expectResponses(opened.port, asks, await converse(asks, toy(true)))
      }),
      { seed: seedOfRun(), numRuns },
    )
  })
})

/** As in the toy, its revisions are above the numbers that conversations try for a cas unique which matches nothing. */
async function openUsedPort(): Promise<OpenPort> {
  const opened = await openPort({ durability: 'relaxed' })
  const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
  await opened.db.putAll(
    'other',
    Array.from({ length: 1000 }, () => ({ ...content, key: 'k' })),
  )
  return opened
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
