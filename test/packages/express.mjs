import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import { promisify } from 'node:util'
import express from 'express'
import session from 'express-session'
import { Kvist } from 'kvist-client'
import { KvistExpressStore } from 'kvist-session/express'

const url = process.env.KVIST_URL
const sessions = new Kvist(url).collection('sessions')
const store = new KvistExpressStore({ url })
const { get, set, touch, destroy, all, length, clear } = Object.fromEntries(
  ['get', 'set', 'touch', 'destroy', 'all', 'length', 'clear'].map((name) => [
    name,
    promisify(store[name]).bind(store),
  ]),
)

const app = express()
app.use(session({ store, secret: 'a', resave: false, saveUninitialized: false, cookie: { maxAge: 60_000 } }))
app.get('/visit', (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1
  response.json(request.session.visits)
})
app.get('/look', (request, response) => response.json(request.session.visits ?? null))
app.get('/renew', (request, response, next) =>
  request.session.regenerate((error) => (error ? next(error) : response.json(null))),
)
app.get('/end', (request, response, next) =>
  request.session.destroy((error) => (error ? next(error) : response.json(null))),
)
const server = app.listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
after(() => server.close())

/** A browser: it keeps the cookie. */
function browser() {
  let cookie = ''
  return async (path) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie } })
    cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
    return response.json()
  }
}

it('each browser has its session, which expires with its cookie', async () => {
  const [ada, bob] = [browser(), browser()]
  assert.deepEqual([await ada('/visit'), await ada('/visit'), await bob('/visit')], [1, 2, 1])
  assert.equal(await length(), 2)
  const [stored] = (await sessions.page()).members
  const secondsLeft = (Date.parse(stored.expires_at) - Date.now()) / 1000
  assert.ok(secondsLeft > 30 && secondsLeft <= 61, `${secondsLeft} s`)
  assert.equal(await browser()('/look'), null)
  assert.equal(await length(), 2)
  await ada('/end')
  assert.equal(await ada('/look'), null)
  assert.equal(await bob('/look'), 1)
  await bob('/renew')
  assert.equal(await bob('/look'), null)
})

it('a session that is only read is renewed and not written', async () => {
  await clear()
  const ada = browser()
  await ada('/visit')
  const [before] = (await sessions.page()).members
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(await ada('/look'), 1)
  const [later] = (await sessions.page()).members
  assert.ok(later.expires_at > before.expires_at)
  assert.deepEqual([later.revision, later.value], [before.revision, before.value])
})

it('the calls of a store', async () => {
  await clear()
  const cookie = new session.Cookie({ maxAge: 60_000 })
  assert.equal(await get('none'), null)
  await destroy('none')
  await touch('none', { cookie })
  assert.equal(await length(), 0)
  await set('a', { cookie, user: 'ada' })
  await set('b', { cookie: new session.Cookie(), user: 'bob' })
  assert.equal((await get('a')).user, 'ada')
  assert.deepEqual(
    (await all()).map(({ id, user }) => [id, user]),
    [
      ['a', 'ada'],
      ['b', 'bob'],
    ],
  )
  const secondsLeft = (Date.parse((await sessions.head('b')).expires_at) - Date.now()) / 1000
  assert.ok(secondsLeft > 86_000 && secondsLeft <= 86_401, `${secondsLeft} s`)
  await touch('b', { cookie: new session.Cookie({ expires: new Date(Date.now() - 1) }) })
  await set('a', { cookie: new session.Cookie({ expires: new Date(Date.now() - 1) }) })
  assert.equal(await length(), 0)
})

it('errors come to the callback, and bad options are refused', async () => {
  await assert.rejects(get('k'.repeat(513)), /512 bytes/)
  await assert.rejects(set('k'.repeat(513), { cookie: new session.Cookie() }), /512 bytes/)
  store.set('k'.repeat(513), { cookie: new session.Cookie() })
  assert.throws(() => new KvistExpressStore({ url, ttl: 0 }), /ttl/)
  assert.throws(() => new KvistExpressStore({ url, colection: 'typo' }), /colection/)
})
