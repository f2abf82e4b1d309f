import { memberPath } from '../../../sdk/names.ts'
import { isLossless, layOut } from '../ui/json-text.ts'
import { shellQuoted } from '../ui/shell.ts'
import { isJsonType } from './value-kinds.ts'

/** A member as lines for a terminal or a program that read it and write it. What is copied runs as it is. */

export interface CopiedMember {
  /** The server: `http://127.0.0.1:7070`. */
  readonly origin: string
  readonly collection: string
  readonly key: string
  readonly contentType: string
  /** Null where they are not loaded. */
  readonly bytes: Uint8Array | null
  /** Null where the bytes are no UTF-8. */
  readonly text: string | null
  /** Whether requests must carry a token, which is taken from KVIST_TOKEN. */
  readonly needsToken: boolean
}

interface Way {
  readonly id: string
  readonly title: string
  readonly read: (member: CopiedMember) => string
  readonly write: (member: CopiedMember) => string
}

/** Longer values do not fit into an argument of a command everywhere; they are read from a file. */
const maxInlineBytes = 64 * 1024
const jsonType = 'application/json'

export const ways: readonly Way[] = [
  { id: 'curl', title: 'curl', read: curlRead, write: curlWrite },
  { id: 'kvist', title: 'Command line', read: kvistRead, write: kvistWrite },
  { id: 'typescript', title: 'TypeScript', read: typescriptRead, write: typescriptWrite },
  { id: 'python', title: 'Python', read: pythonRead, write: pythonWrite },
]

function urlOf({ origin, collection, key }: Pick<CopiedMember, 'origin' | 'collection' | 'key'>): string {
  return origin + memberPath(`/v1/${encodeURIComponent(collection)}`, key)
}

function curlRead(member: CopiedMember): string {
  return `curl ${[...curlToken(member), shellQuoted(urlOf(member))].join(' ')}`
}

function curlWrite(member: CopiedMember): string {
  // Curl would name a type of its own.
  const header = ['-H', shellQuoted(`Content-Type: ${member.contentType}`)]
  const target = ['-X', 'PUT', ...curlToken(member), shellQuoted(urlOf(member)), ...header]
  if (isInline(member)) return `curl ${[...target, '--data-raw', shellQuoted(member.text)].join(' ')}`
  return `${inputOf(member)}curl ${[...target, '--data-binary', isSmall(member) ? '@-' : '@value'].join(' ')}`
}

function curlToken({ needsToken }: CopiedMember): string[] {
  return needsToken ? ['-H', '"Authorization: Bearer $KVIST_TOKEN"'] : []
}

function kvistRead(member: CopiedMember): string {
  return `kvist get ${kvistTarget(member)} -- ${shellQuoted(member.key)}`
}

function kvistWrite(member: CopiedMember): string {
  const { key, contentType } = member
  const type = contentType === jsonType ? '' : ` --content-type ${shellQuoted(contentType)}`
  const start = `kvist put ${kvistTarget(member)}${type} -- ${shellQuoted(key)}`
  // `-` is standard input.
  if (isInline(member) && member.text !== '-') return `${start} ${shellQuoted(member.text)}`
  return `${inputOf(member)}${start} -${isSmall(member) ? '' : ' < value'}`
}

function kvistTarget({ origin, collection }: CopiedMember): string {
  return `--url ${shellQuoted(origin)} -c ${shellQuoted(collection)}`
}

/** A NUL cannot be in an argument. An empty one is fine. */
function isInline(member: CopiedMember): member is CopiedMember & { text: string } {
  return member.text !== null && isSmall(member) && !member.text.includes('\0')
}

function isSmall(member: CopiedMember): member is CopiedMember & { bytes: Uint8Array } {
  return member.bytes !== null && member.bytes.length <= maxInlineBytes
}

/** What writes the value to the command that follows; a longer one has to be in a file. */
function inputOf(member: CopiedMember): string {
  return isSmall(member) ? `printf %s ${shellQuoted(base64Of(member.bytes))} | base64 -d | ` : ''
}

function typescriptRead(member: CopiedMember): string {
  const { key, contentType } = member
  const method = isJsonType(contentType) || member.text === null ? 'get' : 'getText'
  const found = method === 'get' ? 'console.log(found?.value)' : 'console.log(found)'
  return `${typescriptStart(member)}\nconst found = await ${typescriptCollection(member)}.${method}(${quoted(key)})\n${found}\n`
}

function typescriptWrite(member: CopiedMember): string {
  const { key, contentType, text } = member
  const target = `${typescriptStart(member)}\nawait ${typescriptCollection(member)}`
  if (contentType === jsonType && text !== null && isSmall(member) && isLossless(text)) {
    return `${target}.put(${quoted(key)}, ${layOut(text.trimEnd(), '  ')})\n`
  }
  const value = !isSmall(member)
    ? "await (await import('node:fs/promises')).readFile('value')"
    : text === null
      ? `Uint8Array.from(atob(${quoted(base64Of(member.bytes))}), (c) => c.charCodeAt(0))`
      : quoted(text)
  return `${target}.putRaw(${quoted(key)}, ${value}, ${quoted(contentType)})\n`
}

function typescriptStart({ origin, needsToken }: CopiedMember): string {
  const options = needsToken ? ', { token: process.env.KVIST_TOKEN }' : ''
  return `import { Kvist } from 'kvist-client'\n\nconst kvist = new Kvist(${quoted(origin)}${options})`
}

function typescriptCollection({ collection }: CopiedMember): string {
  return `kvist.collection(${quoted(collection)})`
}

function pythonRead(member: CopiedMember): string {
  const isJson = isJsonType(member.contentType)
  const value = isJson
    ? 'json.load(response)'
    : member.text === null
      ? 'response.read()'
      : 'response.read().decode()'
  return `${pythonImports(member, isJson ? ['json'] : [])}
request = urllib.request.Request(${pythonQuoted(urlOf(member))}${pythonHeaders(member, [])})
with urllib.request.urlopen(request) as response:
    value = ${value}
print(value)
`
}

function pythonWrite(member: CopiedMember): string {
  const { text } = member
  const isBase64 = text === null && isSmall(member)
  const data =
    text !== null && isSmall(member)
      ? `${pythonQuoted(text)}.encode()`
      : isSmall(member)
        ? `base64.b64decode(${pythonQuoted(base64Of(member.bytes))})`
        : 'open("value", "rb").read()'
  const type = `"Content-Type": ${pythonQuoted(member.contentType)}`
  return `${pythonImports(member, isBase64 ? ['base64'] : [])}
request = urllib.request.Request(
    ${pythonQuoted(urlOf(member))},
    method="PUT",
    data=${data}${pythonHeaders(member, [type]).replace(', ', ',\n    ')},
)
with urllib.request.urlopen(request) as response:
    print(response.read().decode())
`
}

function pythonImports({ needsToken }: CopiedMember, others: readonly string[]): string {
  const names = [...others, ...(needsToken ? ['os'] : []), 'urllib.request'].sort()
  return `${names.map((name) => `import ${name}`).join('\n')}\n`
}

function pythonHeaders({ needsToken }: CopiedMember, others: readonly string[]): string {
  const token = needsToken ? ['"Authorization": "Bearer " + os.environ["KVIST_TOKEN"]'] : []
  const all = [...others, ...token]
  return all.length === 0 ? '' : `, headers={${all.join(', ')}}`
}

/** A literal of JavaScript; it may stand in a script of a page, too. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}

/** Python knows the same escapes as JSON. */
function pythonQuoted(text: string): string {
  return JSON.stringify(text)
}

function base64Of(bytes: Uint8Array): string {
  let characters = ''
  for (let from = 0; from < bytes.length; from += 8192)
    characters += String.fromCharCode(...bytes.subarray(from, from + 8192))
  return btoa(characters)
}
