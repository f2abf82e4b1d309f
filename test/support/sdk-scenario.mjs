/**
 * What a program does with the client, in plain JavaScript and with nothing that only one runtime has: it is run as it
 * stands in Node, Deno, Bun and a browser. Throws where something is not as it should be.
 *
 * @param sdk the module of the client
 * @param places {url: of kvist, run: a name that no other run has, control: of a server whose /restart kills kvist and starts it again, hasty: of a server
 *   that ends a connection at its second increment, says at /count how many it has got, and says nothing to a GET}
 * @returns what was found, the same everywhere
 */
export async function scenario(sdk, { url, run, control, hasty }) {
  const kvist = new sdk.Kvist(url)
  const users = kvist.collection(`users-${run}`)
  const found = {}

  const stored = await users.put('ada/ü ?#%', { name: 'Ada', visits: 1 }, { create: true, expireIn: '1h' })
  const read = await users.get('ada/ü ?#%')
  found.get = read.value
  found.isSame = read.revision === stored.revision && read.expires_at === stored.expires_at
  found.head = (await users.head('ada/ü ?#%')).content_type
  found.missing = [await users.get('nobody'), await users.head('nobody'), await users.delete('nobody')]
  await users.patch('ada/ü ?#%', { name: null, tags: ['a'] })
  await users.jsonPatch('ada/ü ?#%', [{ op: 'add', path: '/tags/-', value: 'b' }])
  const incremented = await users.increment('ada/ü ?#%', 41, { path: '/visits' })
  const touched = await users.touch('ada/ü ?#%', { expireAt: new Date('2999-01-01') })
  found.touched = [incremented.value, touched.expires_at, touched.revision === incremented.revision]
  found.patched = (await users.get('ada/ü ?#%')).value
  const added = await users.add('x')
  found.added = await users.getText(added.key)

  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251)
  await users.put('bytes', bytes)
  const back = (await users.get('bytes')).value
  found.bytes =
    back instanceof Uint8Array && back.length === bytes.length && back.every((b, i) => b === i % 251)
  let streamed = 0
  for await (const part of (await users.getRaw('bytes')).bytes) streamed += part.length
  found.streamed = streamed

  const many = kvist.collection(`many-${run}`)
  const items = Array.from({ length: 1000 }, (_, i) => ({ key: `k${1000 + i}`, value: { i } }))
  found.imported = await many.import(items)
  found.listed = await summed(many.list({ include: 'values', prefix: 'k1' }))
  found.exported = await summed(many.export())
  found.many = (await many.getMany(['k1001', 'nobody'])).map((member) => member?.value ?? null)
  const page = await many.page({ limit: 300, include: 'keys', order: 'desc' })
  const next = await many.page({ limit: 300, include: 'keys', order: 'desc', cursor: page.next })
  found.pages = [page.members[0].key, next.members[0].key, next.members.length]
  found.changes = await summed(many.changes())
  await users.put('..', 'dots')
  found.dots = [(await users.get('..')).value, await users.delete('..'), await users.get('..')]
  found.level = await users.page({ delimiter: '/', include: 'keys', prefix: 'a' })
  found.mistake = nameOf(sdk, await thrown(users.drop({ prefix: undefined })))

  found.batch = await kvist.batch({
    checks: [{ collection: many.name, key: 'new', revision: null }],
    operations: [
      { op: 'put', collection: many.name, key: 'new', value: 1 },
      { op: 'increment', collection: many.name, key: 'new', by: 2 },
      { op: 'delete', collection: many.name, key: 'nothing' },
    ],
  })
  found.batch = [...found.batch.map(({ value }) => value ?? null), found.batch[2].revision]
  found.batch.push((await many.get('new')).value)
  await many.delete('new')

  found.access = await access(sdk, kvist, many.name)

  const silent = new sdk.Kvist(hasty).collection('c')
  found.errors = [
    nameOf(sdk, await thrown(users.put('bytes', 1, { create: true }))),
    nameOf(sdk, await thrown(users.jsonPatch('nobody', []))),
    nameOf(sdk, await thrown(users.put('', 1))),
    nameOf(sdk, await thrown(users.put('k', 1, { expireIn: '9999999d' }))),
    nameOf(sdk, await thrown(users.get('k', { signal: AbortSignal.abort(new RangeError('enough')) }))),
    nameOf(sdk, await thrown(silent.get('silent', { timeoutMs: 100, retries: 0 }))),
  ]
  const controller = new AbortController()
  const waiting = thrown(users.getWhenChanged('nobody', null, { signal: controller.signal }))
  setTimeout(() => controller.abort(new RangeError('enough')), 50)
  found.errors.push(nameOf(sdk, await waiting))
  const polling = users.getWhenChanged('polled', null)
  await users.put('polled', 1)
  found.polled = (await polling).value

  found.watched = await watched(kvist.collection(`watched-${run}`), control)
  found.sentTwice = await sentTwice(sdk, hasty)
  return found
}

/** A token for some keys of a collection, and a ticket in place of it. */
async function access(sdk, kvist, collection) {
  const grants = [{ collections: collection, key_prefix: 'k1', can: ['read'] }]
  const { id, token } = await kvist.tokens.create({ name: 'some', grants, expires_in: '1h' })
  const limited = new sdk.Kvist(kvist.url, { token })
  const { name } = await limited.whoami()
  const members = limited.collection(collection)
  const read = await members.get('k1001')
  const refused = nameOf(sdk, await thrown(members.put('k1001', 1)))
  const { url } = await limited.ticket(`/v1/${collection}/k1001`)
  const statuses = [(await fetch(url)).status, (await fetch(url)).status]
  const isListed = (await kvist.tokens.list()).some((one) => one.id === id)
  const isRevoked = await kvist.tokens.revoke(id)
  return [name, read.value, refused, ...statuses, isListed, isRevoked]
}

/** Changes before and after the server is killed, and what came of them. */
async function watched(watching, control) {
  await watching.put('a', 1)
  const received = []
  const counts = { connected: 0, lost: 0 }
  for await (const event of watching.watch({
    since: (await watching.head('a')).revision - 1,
    onConnect: () => counts.connected++,
    onDisconnect: () => counts.lost++,
  })) {
    received.push(`${event.type} ${event.key}`)
    if (event.key === 'a') await watching.put('b', 2)
    if (event.key === 'b' && event.type === 'put') {
      await watching.delete('b')
      await fetch(`${control}/restart`)
    }
    if (event.type === 'delete') await watching.put('c', 3)
    if (event.key === 'c') break
  }
  return [...received, counts]
}

/** How often an increment was sent that may have been done: by the client, or by the runtime on its own. */
async function sentTwice(sdk, hasty) {
  const counted = async () => Number(await (await fetch(`${hasty}/count`)).text())
  const numbers = new sdk.Kvist(hasty).collection('c')
  const before = await counted()
  let error = null
  let calls = 0
  // Not every runtime takes the connection of the call before at once.
  for (; error === null && calls < 20; calls++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    error = await thrown(numbers.increment('n'))
  }
  return [nameOf(sdk, error), (await counted()) - before - calls]
}

async function summed(members) {
  let count = 0
  let sum = 0
  for await (const { value } of members) {
    count++
    sum += value.i
  }
  return [count, sum]
}

async function thrown(promise) {
  try {
    await promise
  } catch (error) {
    return error
  }
  return null
}

/** By which class it can be caught, and its code. */
function nameOf(sdk, error) {
  const type = Object.entries(sdk).findLast(([, one]) => error?.constructor === one)
  return type === undefined ? `${error}` : `${type[0]} ${error.code} ${error.status}`
}
