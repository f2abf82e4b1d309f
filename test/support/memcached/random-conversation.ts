import fc from 'fast-check'

/** Random conversations, in the requests of conversation.ts, about few keys, so that commands meet each other. */

const key = fc.constantFrom('a', 'b', 'Zm9v')
const number = fc.constantFrom('500000', '123456', '700007')
const word = fc.oneof(number, fc.constantFrom('', 'hello', 'x\r\ny'))
const exptime = fc.constantFrom('0', '100', '200', '-1')
const cas = fc.constantFrom('{cas:1}', '{cas:2}', '{cas:3}', '0', '1', '99999999999999')
const noreply = fc.constantFrom('', '', '', ' noreply')
const block = (line: string, value: string, rest: string): string =>
  `${line} ${value.length}${rest}\r\n${value}\r\n`

/** Numbers do not get shorter: memcached would pad them, which is said to be nothing to rely on. */
const classic = fc.oneof(
  fc.tuple(fc.constantFrom('get', 'gets', 'gat 100', 'gats 0'), key, key).map((w) => `${w.join(' ')}\r\n`),
  fc
    .tuple(fc.constantFrom('set', 'set', 'add', 'replace', 'append', 'prepend'), key, exptime, word, noreply)
    .map(([name, k, e, value, rest]) => block(`${name} ${k} 7 ${e}`, value, rest)),
  fc
    .tuple(key, exptime, word, cas, noreply)
    .map(([k, e, value, c, rest]) => block(`cas ${k} 0 ${e}`, value, ` ${c}${rest}`)),
  fc
    .tuple(fc.constantFrom('incr', 'decr'), key, noreply)
    .map(([name, k, rest]) => `${name} ${k} 3${rest}\r\n`),
  fc.tuple(key, exptime, noreply).map(([k, e, rest]) => `touch ${k} ${e}${rest}\r\n`),
  fc.tuple(key, noreply).map(([k, rest]) => `delete ${k}${rest}\r\n`),
)

const flags = (...letters: string[]): fc.Arbitrary<string> =>
  fc.shuffledSubarray(letters, { maxLength: 7 }).map((some) => some.map((one) => ` ${one}`).join(''))
const meta = fc.oneof(
  fc
    .tuple(
      key,
      flags('v', 'k', 's', 't', 'c', 'f', 'h', 'q', 'Oabc', 'T100', 'T0', 'N200', 'R150', 'u', 'Px', 'E1'),
    )
    .map(([k, some]) => `mg ${k}${some}\r\n`),
  fc
    .tuple(
      key,
      word,
      flags('k', 'c', 'q', 'Oabc', 'T100', 'F9', 'I', 'b', 'v'),
      cas,
      fc.constantFrom(...'SEAPRX-'),
    )
    .map(([k, value, some, c, mode]) =>
      block(`ms ${k}`, value, `${some} C${c}${mode === '-' ? '' : ` M${mode}`}`),
    ),
  fc
    .tuple(key, word, flags('k', 'c', 'q', 'Oabc', 'T100', 'F9', 'I', 'MA', 'ME', 'k'))
    .map(([k, value, some]) => block(`ms ${k}`, value, some)),
  fc
    .tuple(key, flags('k', 'q', 'Oabc', 'I', 'I', 'T100', 'C{cas:1}', 'C{cas:2}', 'zz'))
    .map(([k, some]) => `md ${k}${some}\r\n`),
  fc
    .tuple(key, flags('v', 'k', 't', 'c', 'q', 'Oabc', 'T100', 'N200 J500000', 'D7', 'MI', 'MD', 'C{cas:1}'))
    .map(([k, some]) => `ma ${k}${some}\r\n`),
)

/** Up to 25 requests. */
export const randomConversation: fc.Arbitrary<string[]> = fc.array(fc.oneof(classic, meta), {
  minLength: 1,
  maxLength: 25,
  size: 'max',
})
