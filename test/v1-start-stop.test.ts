import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { holdTables, until } from './support/engine.ts'
import { seededRandom, startLoad } from './support/load.ts'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { sendRaw } from './support/raw.ts'
import { checkProblem, expectProblem, membersIn, put } from './support/responses.ts'
import { newFolder, runServe, type ServerOptions, startServer, type TestServer } from './support/server.ts'

/** Who is let in, how a server stops, and when it refuses to start. */

async function withServer(
  options: ServerOptions,
  work: (server: TestServer) => Promise<void>,
): Promise<void> {
  const server = await startServer(options)
  try {
    await work(server)
  } finally {
    await server.remove()
  }
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = newFolder()
  try {
    await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe('closed by default', () => {
  test('an address beyond this machine is refused in one line, unless somebody said who may come in', async () => {
    await withFolder(async (folder) => {
      for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.com']) {
        const { exitCode, output } = await runServe(['--data', join(folder, 'x'), '--host', host])
        expect([host, exitCode]).toEqual([host, 2])
        expect(output).toMatch(
          /^kvist: --host \S+ lets in other machines: set KVIST_TOKEN or --token-file, or say --no-auth[^\n]*\n$/,
        )
      }
      expect((await runServe(['--data', folder, '--no-auth'], { KVIST_TOKEN: 'x' })).exitCode).toBe(2)
    })
    await withServer({ flags: ['--host', '0.0.0.0', '--no-auth'] }, async ({ port }) => {
      expect((await fetch(`http://127.0.0.1:${port}/v1`)).status).toBe(200)
    })
    await withServer({ flags: ['--host', '0.0.0.0'], env: { KVIST_TOKEN: 's3cret' } }, async ({ port }) => {
      expect((await fetch(`http://127.0.0.1:${port}/v1`)).status).toBe(401)
    })
  })

  test('with a token every request needs it, but those for health', async () => {
    await withServer({ env: { KVIST_TOKEN: 's3cret-Token' } }, async ({ url, port }) => {
      const good = { authorization: 'Bearer s3cret-Token' }
      expect((await put(`${url}/v1/c/k`, '1', good)).status).toBe(201)
      expect(
        (await fetch(`${url}/v1/c/k`, { headers: { authorization: 'bearer  s3cret-Token' } })).status,
      ).toBe(200)
      for (const path of ['/healthz', '/readyz']) expect((await fetch(url + path)).status).toBe(200)

      const requests: [string, string][] = [
        ['GET', '/v1'],
        ['GET', '/v1/c'],
        ['GET', '/v1/c/k'],
        ['HEAD', '/v1/c/k'],
        ['PUT', '/v1/c/k'],
        ['PUT', '/v1/c/k/l'],
        ['DELETE', '/v1/c/k'],
        ['DELETE', '/v1/c'],
        ['POST', '/v1/c'],
        ['POST', '/v1/_batch'],
        ['PATCH', '/v1/c/k'],
        ['OPTIONS', '/v1/c/k'],
        ['GET', '/nowhere'],
        ['GET', '/v1/c/%zz'],
        ['POST', '/healthz/../v1/c'],
      ]
      for (const [method, path] of requests) {
        const raw = `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1`
        const reply = (await sendRaw(port, raw))!
        expect([method, path, reply.status]).toEqual([method, path, 401])
        expect(reply.headers['www-authenticate']).toBe('Bearer')
        if (method !== 'HEAD')
          checkProblem(
            { ...reply, type: reply.headers['content-type'], text: reply.body },
            401,
            'unauthorized',
          )
      }
      for (const authorization of [
        ...[
          '',
          'Bearer',
          'Bearer ',
          'Bearer s3cret-Toke',
          'Bearer s3cret-Tokens',
          'Bearer S3CRET-TOKEN',
          's3cret-Token',
        ],
        ...[
          'Basic s3cret-Token',
          'Bearer s3cret-Token x',
          'Bearer x, Bearer s3cret-Token',
          'Bearer s3cret-Token, Bearer x',
        ],
        ...['Bearer "s3cret-Token"', 'Token s3cret-Token', 'Bearer s3cret-Token,'],
      ]) {
        expect([
          authorization,
          (await fetch(`${url}/v1/c/k`, { headers: { authorization } })).status,
        ]).toEqual([authorization, 401])
      }
      const twice = `GET /v1/c/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer s3cret-Token\r\nAuthorization: Bearer other\r\n\r\n`
      expect(await sendRaw(port, twice)).toMatchObject({ status: 400 })
      expect(await membersInWith(`${url}/v1/c`, good)).toBe('{"members":[{"key":"k"}],"next":null}\n')
    })
  })
})

async function membersInWith(url: string, headers: Record<string, string>): Promise<string> {
  return (await fetch(`${url}?include=keys`, { headers })).text()
}

describe('a stop', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`on ${signal} under load finishes the responses in flight, exits 0 and loses nothing`, async () => {
      await withFolder(async (dataFolder) => {
        const load = startLoad(seededRandom(7))
        for (let round = 0; round < 3; round++) {
          await withServer({ dataFolder }, async (server) => {
            await load.verify(server.url)
            const running = load.run(server.url)
            await Bun.sleep(300)
            server.signal(signal)
            expect(await server.exited).toBe(0)
            expect(server.output()).toContain('"stopped"')
            expect(server.output()).not.toContain('"level":"error"')
            await running
          })
        }
        await withServer({ dataFolder }, (server) => load.verify(server.url))
        expect(load.acknowledged()).toBeGreaterThan(100)
        expect(load.brokenOff()).toBe(0)
      })
    })
  }

  test('lets a request that is half sent finish, and takes no new connections', async () => {
    await withFolder(async (dataFolder) => {
      await withServer({ dataFolder }, async (server) => {
        const responses = ['PUT /v1/c/k', 'POST /v1/_batch'].map((request) =>
          slowRequest(server.port, request),
        )
        await beginning(server, 2)
        server.signal('SIGTERM')
        await until(() => isRefused(server), 'it takes no new connections')
        for (const { finish } of responses) finish()
        const [stored, batch] = await Promise.all(responses.map(({ received }) => received))
        expect(stored).toStartWith('HTTP/1.1 201 ')
        expect(batch).toStartWith('HTTP/1.1 200 ')
        expect(await server.exited).toBe(0)
      })
      await withServer({ dataFolder }, async ({ url }) => {
        expect((await membersIn(`${url}/v1/c`, '?include=keys')).map(({ key }) => key)).toEqual([
          'k',
          'other',
        ])
      })
    })
  })

  test('waits no longer than --stop-timeout', async () => {
    await withServer({ flags: ['--stop-timeout', '1'] }, async (server) => {
      const { received } = slowRequest(server.port, 'PUT /v1/c/k')
      await beginning(server, 1)
      const from = performance.now()
      expect(await server.stop()).toBe(0)
      expect(performance.now() - from).toBeWithin(500, 25_000)
      expect(await received).toBe('')
    })
  })

  test('waits no longer for a flusher that cannot go on, and loses nothing of what is in the log', async () => {
    await withFolder(async (dataFolder) => {
      const server = await startServer({ dataFolder, flags: ['--stop-timeout', '1'] })
      await put(`${server.url}/v1/c/k`, '"kept"')
      const tables = holdTables(dataFolder)
      try {
        const from = performance.now()
        expect(await server.stop()).toBe(0)
        // Without the limit it waits as long as the tables are held.
        expect(performance.now() - from).toBeLessThan(30_000)
        expect(server.output()).toContain('reads at the next start what is in its log')
      } finally {
        tables.release()
      }
      const again = await startServer({ dataFolder })
      expect(await (await fetch(`${again.url}/v1/c/k`)).text()).toBe('"kept"')
      await again.crash()
    })
  })

  test('ends at once on a second signal', async () => {
    await withServer({ flags: ['--stop-timeout', '60'] }, async (server) => {
      await put(`${server.url}/v1/c/k`, '1')
      slowRequest(server.port, 'PUT /v1/c/l')
      await beginning(server, 1)
      server.signal('SIGTERM')
      await until(() => isRefused(server), 'it stops')
      // Two that come together are taken for one.
      await Bun.sleep(400)
      const from = performance.now()
      server.signal('SIGTERM')
      expect(await server.exited).toBe(143)
      expect(performance.now() - from).toBeLessThan(30_000)
    })
  })
})

/** Waits until so many requests are under way beside the one that asks. */
function beginning(server: TestServer, count: number): Promise<void> {
  return until(async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    return sampleOf(parseSamples(text), 'kvist_open_requests', {}) === count + 1
  }, `${count} requests are under way`)
}

function isRefused(server: TestServer): Promise<boolean> {
  return fetch(`${server.url}/readyz`).then(
    () => false,
    () => true,
  )
}

/** A request that stops within its body until `finish`. */
function slowRequest(port: number, request: string): { finish(): void; received: Promise<string> } {
  const body = request.startsWith('PUT')
    ? '"value"'
    : '{"operations":[{"op":"put","collection":"c","key":"other","value":1}]}'
  let received = ''
  const socket = connect(port, '127.0.0.1', () =>
    socket.write(
      `${request} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 3)}`,
    ),
  )
  socket.on('data', (part: Buffer) => {
    received += part.toString()
  })
  socket.on('error', () => {})
  return {
    finish: () => void socket.write(body.slice(3)),
    received: new Promise((resolve) => socket.on('close', () => resolve(received))),
  }
}

describe('a start is refused with one clear line', () => {
  async function expectRefused(
    dataFolder: string,
    line: RegExp,
    flags: readonly string[] = [],
  ): Promise<void> {
    const { exitCode, output } = await runServe(['--data', dataFolder, ...flags])
    expect(output).toMatch(line)
    expect(output.trimEnd()).not.toContain('\n')
    expect(exitCode).toBe(1)
  }

  test('on a folder that another kvist holds, which goes on undisturbed', async () => {
    await withServer({}, async (server) => {
      await put(`${server.url}/v1/c/k`, '1')
      await expectRefused(server.dataFolder, /^kvist: \S+ is held by another kvist/)
      expect(await (await fetch(`${server.url}/v1/c/k`)).text()).toBe('1')
      expect((await put(`${server.url}/v1/c/k`, '2')).status).toBe(200)
    })
  })

  test('on a kvist.db that is damaged, of another program or of a newer kvist', async () => {
    await withFolder(async (folder) => {
      writeFileSync(join(folder, 'kvist.db'), Buffer.alloc(8192, 'no database '))
      await expectRefused(folder, /^kvist: \S+kvist\.db is damaged or not a kvist file/)
    })
    await withFolder(async (folder) => {
      using db = new Database(join(folder, 'kvist.db'))
      db.run('CREATE TABLE t (a)')
      await expectRefused(folder, /^kvist: \S+kvist\.db is an SQLite file, but not one of kvist's/)
    })
    await withFolder(async (folder) => {
      await (await startServer({ dataFolder: folder })).stop()
      using db = new Database(join(folder, 'kvist.db'))
      db.run('PRAGMA user_version = 99')
      await expectRefused(
        folder,
        /^kvist: \S+kvist\.db has format 99; this kvist reads up to \d+: use kvist 0\.1\.0 or a newer one/,
      )
    })
  })

  test('on a folder that cannot be made, and a port that is taken', async () => {
    await withFolder(async (folder) => {
      writeFileSync(join(folder, 'file'), '')
      await expectRefused(join(folder, 'file', 'data'), /^kvist: --data .* has a file in its path/)
      await withServer({}, async ({ port }) => {
        await expectRefused(join(folder, 'data'), /^kvist: .*(in use|EADDRINUSE)/i, ['--port', String(port)])
      })
    })
  })

  test('after which the folder can be opened again', async () => {
    await withFolder(async (folder) => {
      mkdirSync(join(folder, 'data'))
      await withServer({}, async ({ port }) => {
        await runServe(['--data', join(folder, 'data'), '--port', String(port)])
      })
      await withServer({ dataFolder: join(folder, 'data') }, async ({ url }) => {
        await expectProblem(await fetch(`${url}/v1/c/k`), 404, 'not_found')
      })
    })
  })
})
