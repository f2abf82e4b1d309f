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
  onComplete() {
    if (location.hash === '') ui.layoutActions.show(['operations-tag', 'Members'], true)
  },
})
