import { beforeEach, describe, expect } from 'bun:test'
import type { Browser, BrowserContext } from 'playwright-core'
import { startWholeBrowser } from './support/browser.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { put } from './support/responses.ts'
import { patienceMs } from './support/until.ts'

const { afterAll, beforeAll, test } = needing('wholeChromium')

/** What web pages can do to a server without a token, in a browser. */

/** Pages of a stranger, at whatever path. */
const stranger = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: () =>
    new Response('<!doctype html><title>stranger</title>', { headers: { 'content-type': 'text/html' } }),
})

let server: ServerInProcess
let browser: Browser
/** Of the strangers' pages. */
let context: BrowserContext
beforeAll(async () => {
  ;[server, browser] = await Promise.all([
    serveInProcess({ flags: ['--access-log'] }),
    startWholeBrowser([
      '--host-resolver-rules=MAP evil.example 127.0.0.1',
      // Newer browsers ask somebody first, who may agree.
      '--disable-features=LocalNetworkAccessChecks',
    ]),
  ])
  context = await browser.newContext()
  context.setDefaultTimeout(patienceMs)
})
beforeEach(() => put(`${server.url}/v1/cache/secret`, '"kept"'))
afterAll(async () => {
  await browser?.close()
  await server?.stop()
  await stranger.stop(true)
})

async function keptValue(): Promise<string> {
  return (await fetch(`${server.url}/v1/cache/secret`)).text()
}

async function collections(): Promise<string> {
  return (await fetch(`${server.url}/v1`)).text()
}

/** The responses of the server since its log had this length: a browser does not show every response. */
async function responsesSince(logLength: number): Promise<string[]> {
  const last = 'GET /healthz 200'
  await fetch(`${server.url}/healthz`)
  for (;;) {
    const lines = server.output().slice(logLength).split('\n')
    const responses = lines.flatMap((line) => /"message":"(\w+ \S+ \d{3})"/.exec(line)?.[1] ?? [])
    if (responses.at(-1) === last) return responses.slice(0, -1)
    await Bun.sleep(5)
  }
}

/** Runs a script in a page and expects that what is stored stays as it is. */
async function attack<Found>(
  pageUrl: string,
  script: string,
): Promise<{ found: Found; responses: string[] }> {
  const before = await collections()
  const page = await context.newPage()
  try {
    await page.goto(pageUrl)
    const logLength = server.output().length
    const found = await page.evaluate<Found>(script)
    return { found, responses: await responsesSince(logLength) }
  } finally {
    await page.close()
    expect(await collections()).toBe(before)
    expect(await keptValue()).toBe('"kept"')
  }
}

const drop = '{"operations":[{"op":"delete","collection":"cache","key":"secret"}]}'

describe.each([
  ['another site', `http://evil.example:${stranger.port}/`],
  ['another port of this machine', stranger.url.href],
])('a page of %s', (_who, pageUrl) => {
  test('cannot store, delete or read by fetch, even without reading the response', async () => {
    const script = `(async () => {
      const all = '${server.url}/v1'
      const tried = (path, init) => fetch(all + path, init).then((r) => r.text(), () => 'unreadable')
      return [
        await tried('/cache', { mode: 'no-cors', method: 'POST', body: '{"stored":true}' }),
        await tried('/_batch', { mode: 'no-cors', method: 'POST', body: '${drop}' }),
        await tried('/cache/secret', { mode: 'no-cors' }),
        await tried('/cache/secret', {}),
        await tried('/cache/secret', { method: 'PUT', body: '"gone"' }),
        await tried('/cache', { method: 'DELETE' }),
      ]
    })()`
    const { found, responses } = await attack<string[]>(pageUrl, script)
    expect(found).toEqual(Array(6).fill('unreadable'))
    expect(responses).toEqual([
      'POST /v1/cache 403',
      'POST /v1/_batch 403',
      'GET /v1/cache/secret 403',
      'GET /v1/cache/secret 403',
      'OPTIONS /v1/cache/secret 403',
      'OPTIONS /v1/cache 403',
    ])
  })

  test('cannot post a form', async () => {
    const page = await context.newPage()
    try {
      await page.goto(pageUrl)
      const logLength = server.output().length
      const [name, value] = [drop.slice(0, 5), drop.slice(5)]
      await Promise.all([
        page.waitForURL(`${server.url}/**`),
        page.evaluate(`(() => {
          const form = Object.assign(document.createElement('form'), {
            method: 'POST', enctype: 'text/plain', action: '${server.url}/v1/_batch',
          })
          form.append(Object.assign(document.createElement('input'), {
            name: ${JSON.stringify(name)}, value: ${JSON.stringify(value)},
          }))
          document.body.append(form)
          form.submit()
        })()`),
      ])
      expect(await responsesSince(logLength)).toEqual(['POST /v1/_batch 403'])
      expect(await keptValue()).toBe('"kept"')
    } finally {
      await page.close()
    }
  })

  test('cannot read through a dialect, nor by script, image or frame', async () => {
    const read = `fetch('${server.url}/dialects/tenantbase/get-values').then((r) => r.text(), () => 'unreadable')`
    expect((await attack<string>(pageUrl, read)).found).toBe('unreadable')
    for (const tag of ['script', 'img']) {
      const { found, responses } = await attack<string>(
        pageUrl,
        `new Promise((resolve) => {
          const element = document.createElement('${tag}')
          element.onload = () => resolve('loaded')
          element.onerror = () => resolve('failed')
          element.src = '${server.url}/v1/cache/secret'
          document.body.append(element)
        })`,
      )
      expect([tag, found, responses]).toEqual([tag, 'failed', ['GET /v1/cache/secret 403']])
    }
  })

  test('cannot open a WebSocket or a stream of events', async () => {
    const { found } = await attack<string[]>(
      pageUrl,
      `Promise.all([
        new Promise((resolve) => {
          const socket = new WebSocket('${server.url.replace('http', 'ws')}/v1/cache')
          socket.onopen = () => resolve('open')
          socket.onerror = () => resolve('refused')
        }),
        new Promise((resolve) => {
          const events = new EventSource('${server.url}/v1/cache')
          events.onopen = () => resolve('open')
          events.onerror = () => resolve('refused')
        }),
      ])`,
    )
    expect(found).toEqual(['refused', 'refused'])
  })

  test('may lead to the page of the API by a link, and to nothing that is stored', async () => {
    const page = await context.newPage()
    try {
      for (const [path, status] of [
        ['/docs', 200],
        ['/v1/cache/secret', 403],
      ] as const) {
        await page.goto(pageUrl)
        const [response] = await Promise.all([
          page.waitForResponse(`${server.url}${path}`),
          page.evaluate(`(() => {
            const link = Object.assign(document.createElement('a'), { href: '${server.url}${path}' })
            document.body.append(link)
            link.click()
          })()`),
        ])
        expect([path, response.status()]).toEqual([path, status])
        if (status === 200) await page.waitForSelector('.opblock')
      }
    } finally {
      await page.close()
    }
  })
})

test('a name that came to stand for this machine reads and drops nothing', async () => {
  const url = `http://evil.example:${server.port}`
  const page = await browser.newPage()
  try {
    // The page was sent by the stranger, before the name was bound to this machine.
    await page.route(`${url}/`, (route) =>
      route.fulfill({ contentType: 'text/html', body: '<title>rebound</title>' }),
    )
    await page.goto(`${url}/`)
    const found = await page.evaluate<string[]>(`(async () => {
      const codes = []
      for (const [path, method] of [['/v1/cache/secret', 'GET'], ['/v1/cache', 'DELETE'], ['/metrics', 'GET'], ['/docs', 'GET']]) {
        codes.push((await (await fetch(path, { method })).json()).code)
      }
      return codes
    })()`)
    expect(found).toEqual(Array(4).fill('misdirected'))
    expect(await keptValue()).toBe('"kept"')
  } finally {
    await page.close()
  }
})

test('what is stored is shown to whoever goes there, and runs no script', async () => {
  const evil =
    "<!doctype html><title>safe</title><script>document.title = 'ran'; fetch('/v1/cache', {method: 'DELETE'})</script>"
  for (const type of ['text/html', 'image/svg+xml', 'text/plain', 'application/octet-stream; x=<b>']) {
    await put(`${server.url}/v1/cache/page`, evil, { 'content-type': type })
    const page = await browser.newPage()
    try {
      const logLength = server.output().length
      await page.goto(`${server.url}/v1/cache/page`).catch(() => {})
      expect(await page.title()).not.toBe('ran')
      const responses = await responsesSince(logLength)
      expect(responses.filter((reply) => reply !== 'GET /favicon.ico 404')).toEqual([
        'GET /v1/cache/page 200',
      ])
      expect(await keptValue()).toBe('"kept"')
    } finally {
      await page.close()
    }
  }
})
