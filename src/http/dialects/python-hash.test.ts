import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { pythonHash } from './python-hash.ts'

const paragraph =
  "Lorem Ipsum is simply dummy text of the printing and typesetting industry. Lorem Ipsum has been the industry's standard dummy text ever since the 1500s, when an unknown printer took a galley of type and scrambled it to make a type specimen book. It has survived not only five centuries, but also the leap into electronic typesetting, remaining essentially unchanged. It was popularised in the 1960s with the release of Letraset sheets containing Lorem Ipsum passages, and more recently with desktop publishing software like Aldus PageMaker including versions of Lorem Ipsum."

test.each([
  // Of a record that minstore itself stored.
  [paragraph, '3985211366849498588'],
  ['', '0'],
  ['a', '12416037344'],
  ['hello', '840651671246116861'],
  ['0123456789', '-6487948055632369493'],
  ['日本', '3338900007426964801'],
  ['😀', '16449585346049'],
  ['\0', '1'],
])('the hash of %j', (text, hash) => {
  expect(pythonHash(text)).toBe(hash)
})

test('it is what the definition gives in whole numbers of any size', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => expect(pythonHash(text)).toBe(defined(text))),
  )
})

function defined(text: string): string {
  const characters = Array.from(text, (character) => BigInt(character.codePointAt(0)!))
  if (characters.length === 0) return '0'
  let hash = characters[0]! << 7n
  for (const character of characters) hash = BigInt.asIntN(64, (hash * 1000003n) ^ character)
  hash ^= BigInt(characters.length)
  return String(hash === -1n ? -2n : hash)
}
