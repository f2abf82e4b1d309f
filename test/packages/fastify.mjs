import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import fastify from 'fastify'
import { Kvist } from 'kvist-client'
import { KvistFastifyStore } from 'kvist-session/fastify'

const url = process.env.KVIST_URL
const collection = 'fastify-sessions'
const sessions = new Kvist(url).collection(collection)

const app = fastify()
app.register(fastifyCookie)
app.register(fastifySession, {
  store: new KvistFastifyStore({ url, collection, ttl: 600 }),
  secret: 'a secret with minimum length of 32 characters',
  cookie: { secure: false, maxAge: 60_000 },
  saveUninitialized: false,
})
app.get('/visit', async (request) => {
  request.session.visits = (request.session.visits ?? 0) + 1
  return request.session.visits
})
app.get('/look', async (request) => ({ visits: request.session.visits ?? null }))
app.get('/renew', async (request) => {
  await request.session.regenerate(['visits'])
  return {}
})
app.get('/end', async (request) => {
  await request.session.destroy()
  return {}
})
after(() => app.close())

/** A browser: it keeps the cookie. */
function browser() {
  let cookie = ''
  return async (path) => {
    const response = await app.inject({ url: path, headers: { cookie } })
    const [set] = response.cookies
    if (set !== undefined) cookie = `${set.name}=${set.value}`
    return response.json()
  }
}

const ids = async () => {
  const found = []
  for await (const { key } of sessions.list({ include: 'keys' })) found.push(key)
  return found
}

it('each browser has its session, which expires with its cookie', async () => {
  const [ada, bob] = [browser(), browser()]
  assert.deepEqual([await ada('/visit'), await ada('/visit'), await bob('/visit')], [1, 2, 1])
  const [id] = await ids()
  const secondsLeft = (Date.parse((await sessions.head(id)).expires_at) - Date.now()) / 1000
  assert.ok(secondsLeft > 30 && secondsLeft <= 61, `${secondsLeft} s`)
  assert.deepEqual(await browser()('/look'), { visits: null })
  assert.equal((await ids()).length, 2)
  await ada('/end')
  assert.deepEqual(await ada('/look'), { visits: null })
  assert.deepEqual(await bob('/look'), { visits: 1 })
})

it('a regenerated session has another id', async () => {
  const ada = browser()
  await ada('/visit')
  const before = await ids()
  await ada('/renew')
  assert.deepEqual(await ada('/look'), { visits: 1 })
  const after = await ids()
  assert.equal(after.length, before.length)
  assert.notDeepEqual(after, before)
})

it('bad options are refused', () => {
  assert.throws(() => new KvistFastifyStore({ url, ttl: -1 }), /ttl/)
})
