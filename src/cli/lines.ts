import type { Collection, ListOptions } from '../../sdk/client.ts'

/** Members as the server writes them: parsing would change the numbers that JavaScript has no place for. */
export async function* linesOf(
  collection: Collection<unknown>,
  selection: ListOptions,
): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let open = ''
  for await (const bytes of await collection.lines(selection)) {
    const text = decoder.decode(bytes, { stream: true })
    open += text
    if (!text.includes('\n')) continue
    const lines = open.split('\n')
    open = lines.pop() ?? ''
    yield* lines
  }
}
