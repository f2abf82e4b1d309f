/* global SwaggerUIBundle */
const dark = matchMedia('(prefers-color-scheme: dark)')

function follow() {
  document.documentElement.classList.toggle('dark-mode', dark.matches)
}

follow()
dark.addEventListener('change', follow)

/** The sections of /v1, in the order in which people need them. The dialects and the server come after them. */
const sections = [
  { name: 'Members', of: /^\/v1\/\{collection\}/, description: 'One member, and the list of a collection' },
  { name: 'Many', of: /^\/v1\/_(batch|read|query)$/, description: 'Many members in one request' },
  {
    name: 'Collections',
    of: /^\/v1($|\/_collections)/,
    description: 'What there is, settings, schemas, drops',
  },
  {
    name: 'Changes',
    of: /^\/v1\/_(changes|history)/,
    description: 'The feed of changes, and earlier versions',
  },
  { name: 'Access', of: /^\/v1\/_(whoami|tickets|tokens)/, description: 'Tokens and what they allow' },
  { name: 'Operations', of: /^\/v1\/_(backup|engine)/, description: 'Backups, and where the store is' },
  { name: 'Nodes', of: /^\/v1\//, description: 'What servers tell and send each other' },
]

/** What deletes or takes over has nothing filled in; what writes to a member names none. */
const destroys = /^\/v1\/(_nodes\/|_replicate)/
const reads = new Set(['get', 'head', 'options'])

function forPeople(document) {
  for (const [path, operations] of Object.entries(document.paths)) {
    const section = sections.find(({ of }) => of.test(path))
    for (const [method, operation] of Object.entries(operations)) {
      if (section !== undefined) operation.tags = [section.name]
      if (reads.has(method)) continue
      operation.parameters?.forEach(withoutExample)
      if (method === 'delete' || destroys.test(path)) {
        Object.values(operation.requestBody?.content ?? {}).forEach(withoutExample)
      }
    }
  }
  const others = document.tags.filter(({ name }) => name !== 'v1')
  document.tags = [...sections.map(({ name, description }) => ({ name, description })), ...others]
  return document
}

function withoutExample(described) {
  delete described.example
  delete described.examples
}

/**
 * Follows the references of the part at `path`, as Swagger UI asks before it shows that part. Its own function reads the whole
 * document again for each operation that is opened, which takes seconds. All references of this document are to its components.
 */
function resolveSubtree(document, path, { baseDoc }) {
  return { spec: resolved(at(document, path), []), errors: [] }

  function resolved(part, following) {
    if (Array.isArray(part)) return part.map((item) => resolved(item, following))
    if (part === null || typeof part !== 'object') return part
    const { $ref: reference, ...others } = part
    if (typeof reference !== 'string' || !reference.startsWith('#/components/')) {
      return resolvedEach(part, following)
    }
    // A schema that contains itself keeps the reference at which it would begin again.
    if (following.includes(reference)) return part
    const target = at(document, reference.slice('#/'.length).split('/'))
    return {
      ...resolved(target, [...following, reference]),
      ...resolvedEach(others, following),
      // Swagger UI reads the schema's name from it.
      $$ref: `${baseDoc}${reference}`,
    }
  }

  function resolvedEach(part, following) {
    return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, resolved(value, following)]))
  }
}

function at(document, path) {
  return path.reduce((part, name) => part?.[name], document)
}

const response = await fetch('/openapi.json')
const ui = SwaggerUIBundle({
  spec: forPeople(await response.json()),
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  docExpansion: 'none',
  tryItOutEnabled: true,
  // No validator: that would send the document's address to a server elsewhere.
  validatorUrl: null,
  plugins: [() => ({ fn: { resolveSubtree } })],
  onComplete() {
    if (location.hash === '') ui.layoutActions.show(['operations-tag', 'Members'], true)
  },
})
