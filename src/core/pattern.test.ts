import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { KvistError } from './errors.ts'
import { maxPatternBytes } from './limits.ts'
import { compilePattern, type Wildcards } from './pattern.ts'

/** The definition, in time and space of both lengths multiplied. */
function matchesByTable(pattern: string, text: string, anyRun = '*', anyOne: string | null = '?'): boolean {
  const characters = Array.from(text)
  const wildcards = anyOne === null ? [anyRun] : [anyRun, anyOne]
  const unit = RegExp(`\\\\[\\\\${wildcards.map((one) => `\\${one}`).join('')}]|.`, 'gsu')
  let reachable = [true, ...characters.map(() => false)]
  for (const [searched] of pattern.matchAll(unit)) {
    const literal = searched.length > 1 && searched.startsWith('\\') ? searched[1] : searched
    let open = false
    reachable = reachable.map((here, at) => {
      open ||= here
      if (searched === anyRun) return open
      if (at === 0) return false
      return reachable[at - 1]! && (searched === anyOne || literal === characters[at - 1])
    })
  }
  return reachable.at(-1)!
}

function expectAgreement(pattern: string, text: string) {
  if (compilePattern(pattern).matches(text) !== matchesByTable(pattern, text)) {
    throw new Error(`${JSON.stringify(pattern)} against ${JSON.stringify(text)}`)
  }
}

describe('matches', () => {
  const cases: [pattern: string, matching: string[], other: string[]][] = [
    ['', [''], ['a']],
    ['word', ['word'], ['words', 'wor', 'Word', '']],
    ['*', ['', 'a', 'anything'], []],
    ['**', ['', 'a'], []],
    ['?', ['a', 'ä', '€', '😀', '\ud83d'], ['', 'ab', '😀a']],
    ['??', ['ab', '😀😀'], ['😀', 'a', 'abc']],
    ['city:*', ['city:', 'city:1'], ['city', 'acity:', '']],
    ['*.json', ['.json', 'a.json'], ['json', 'a.json5']],
    ['*b*', ['b', 'abc', 'bb'], ['', 'ac']],
    ['w*d', ['wd', 'word', 'world wide web and'], ['w', 'd', 'wor', 'aword']],
    ['a*a', ['aa', 'aba'], ['a']],
    ['ab*ba', ['abba', 'ab ba'], ['aba']],
    ['a?c', ['abc', 'a😀c'], ['ac', 'abbc']],
    ['?*', ['a', 'ab'], ['']],
    ['*?', ['a', '😀'], ['']],
    ['*a?c*', ['abc', 'aabc!', 'axaacy'], ['ac', 'abbc']],
    ['*a*?b*b', ['a1bb', 'aabbb'], ['abb', 'ab']],
    ['a?*?b', ['a12b', 'a1x2b'], ['ab', 'a1b']],
    ['*a?b', ['a1b', 'a1ba2b'], ['ab', 'a1b ']],
    ['*😀?', ['😀a', '😀😀'], ['😀']],
    ['*?😀', ['a😀', '😀😀', '\ud83d😀'], ['😀']],
    ['a.c[d](e|f)+$', ['a.c[d](e|f)+$'], ['abcdee']],
    ['\\*', ['*'], ['', 'a', '\\*']],
    ['a\\*b*', ['a*b', 'a*bc'], ['ab', 'aab', 'a\\*b']],
    ['\\?', ['?'], ['a', '', '\\?']],
    ['\\\\', ['\\'], ['\\\\', '']],
    ['\\\\*', ['\\', '\\a'], ['*', 'a']],
    ['\\\\\\*', ['\\*'], ['\\', '\\\\', '\\a']],
    ['*\\?*\\*?', ['?*a', 'a?b*c'], ['?*', 'ab*c']],
    ['\\*?\\*', ['*a*', '***', '*😀*'], ['**', 'aaa']],
  ]
  for (const [pattern, matching, other] of cases) {
    test(JSON.stringify(pattern), () => {
      const { matches } = compilePattern(pattern)
      expect(matching.filter((text) => !matches(text))).toEqual([])
      expect(other.filter(matches)).toEqual([])
    })
  }

  test('what the definition matches, over few characters so that much nearly matches', () => {
    const units = fc.constantFrom('a', 'b', '*', '?', '😀', '\\*', '\\?', '\\\\')
    const pattern = fc.string({ unit: units, maxLength: 12, size: 'max' })
    const characters = fc.constantFrom('a', 'b', '😀', '\ud83d', '\ude00', '\ud800', '\ud801', '*', '?', '\\')
    const text = fc.string({ unit: characters, maxLength: 24, size: 'max' })
    fc.assert(fc.property(pattern, text, expectAgreement), { numRuns: 5000 })
  })

  test('what the definition matches, with pieces of many words and beyond what is left to indexOf', () => {
    const run = fc
      .tuple(fc.constantFrom('a', 'b', 'ab', 'aab', '?', 'a?', '€'), fc.integer({ min: 1, max: 45 }))
      .map(([unit, times]) => unit.repeat(times))
    const piece = fc.array(run, { maxLength: 3 }).map((runs) => runs.join(''))
    const pattern = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('*'))
    const forStar = fc.constantFrom('', 'a', 'ab', 'b€')
    const forOne = fc.constantFrom('a', 'b', '€')
    // A text made of the pattern, so that it matches often, and nearly matches as often.
    fc.assert(
      fc.property(pattern, forStar, forOne, fc.nat({ max: 600 }), (pattern, forStar, forOne, flaw) => {
        fc.pre(Buffer.byteLength(`*${pattern}*`) <= maxPatternBytes)
        const text = pattern.replaceAll('*', forStar).replaceAll('?', forOne)
        expectAgreement(pattern, text)
        expectAgreement(pattern, `${text.slice(0, flaw)}a${text.slice(flaw + 1)}`)
        expectAgreement(`*${pattern}*`, `aab${text}ba`)
        expectAgreement(`*${pattern}*`, `${text.slice(1)}${text.slice(0, -1)}`)
      }),
      { numRuns: 300 },
    )
  })

  test('long pieces that repeat themselves, where a mismatch must fall back to the right place', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 24, size: 'max' })
    const cut = fc.nat({ max: 100 })
    fc.assert(
      fc.property(word, cut, cut, cut, (word, ...cuts) => {
        const literal = word.repeat(100).slice(0, 70 + word.length)
        const text = cuts.map((cut) => literal.slice(0, cut)).join('') + literal.slice(0, -1)
        const { matches } = compilePattern(`*${literal}*`)
        expect(matches(text)).toBe(text.includes(literal))
        expect(matches(`${text}${literal.at(-1)}`)).toBeTrue()
      }),
      { numRuns: 1000 },
    )
  })

  test('the same for each use of one pattern, whatever was matched before', () => {
    const { matches } = compilePattern(`*c${'?'.repeat(40)}d*`)
    const text = `c${'x'.repeat(40)}d`
    for (const other of [text, text.slice(1), text, `c${text.slice(2)}`])
      expect(matches(other)).toBe(other === text)
  })
})

describe('prefix and exact', () => {
  const cases: [pattern: string, prefix: string, exact: boolean][] = [
    ['', '', true],
    ['word', 'word', true],
    ['*', '', false],
    ['city:*', 'city:', false],
    ['city:?*', 'city:', false],
    ['a?b*c', 'a', false],
    ['?a', '', false],
    ['😀*', '😀', false],
  ]
  for (const [pattern, prefix, exact] of cases) {
    test(JSON.stringify(pattern), () => {
      expect(compilePattern(pattern)).toMatchObject({ prefix, exact })
    })
  }

  test('a text that matches begins with the prefix', () => {
    const characters = fc.constantFrom('a', 'b', '*', '?')
    const pattern = fc.string({ unit: characters, maxLength: 6 })
    const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 })
    fc.assert(
      fc.property(pattern, text, (pattern, text) => {
        const { matches, prefix, exact } = compilePattern(pattern)
        if (matches(text)) expect(text.startsWith(prefix)).toBeTrue()
        expect(exact).toBe(!/[*?]/.test(pattern))
      }),
    )
  })
})

describe('wildcards of other stores', () => {
  const dollar: Wildcards = { anyRun: '$', anyOne: null, otherBackslash: 'literal' }
  const starOnly: Wildcards = { anyRun: '*', anyOne: null, otherBackslash: 'literal' }

  test('other characters are literal', () => {
    expect(compilePattern('wo$d', dollar).matches('world')).toBeTrue()
    expect(compilePattern('wo*d$', dollar).matches('wo*d!')).toBeTrue()
    expect(compilePattern('wo*d$', dollar).matches('world')).toBeFalse()
    expect(compilePattern('wh?*', starOnly).matches('wh? me')).toBeTrue()
    expect(compilePattern('wh?*', starOnly).matches('why me')).toBeFalse()
    expect(compilePattern('why?', starOnly)).toMatchObject({ exact: true, prefix: 'why?' })
  })

  test('a backslash is one, unless it stands before the wildcard or another', () => {
    expect(compilePattern('5\\$$', dollar).matches('5$ off')).toBeTrue()
    expect(compilePattern('5\\$$', dollar).matches('5 off')).toBeFalse()
    expect(compilePattern('a\\b\\*\\', dollar)).toMatchObject({ exact: true, prefix: 'a\\b\\*\\' })
    expect(compilePattern('a\\\\$', dollar).matches('a\\b')).toBeTrue()
    expect(compilePattern('\\?\\*', starOnly)).toMatchObject({ exact: true, prefix: '\\?*' })
  })

  test('what the definition matches', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '$', '*', '?', '\\'), maxLength: 10 })
    fc.assert(
      fc.property(text, text, (pattern, text) => {
        expect(compilePattern(pattern, dollar).matches(text)).toBe(matchesByTable(pattern, text, '$', null))
        expect(compilePattern(pattern, starOnly).matches(text)).toBe(matchesByTable(pattern, text, '*', null))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('bad patterns', () => {
  function failure(pattern: string): unknown {
    try {
      return compilePattern(pattern)
    } catch (error) {
      return error
    }
  }

  test('a pattern at the limit is taken, one over it names the limit', () => {
    compilePattern('a'.repeat(maxPatternBytes))
    compilePattern('ä'.repeat(maxPatternBytes / 2))
    for (const text of ['a'.repeat(maxPatternBytes + 1), `${'ä'.repeat(maxPatternBytes / 2)}*`]) {
      const error = failure(text)
      expect(error).toBeInstanceOf(KvistError)
      expect(error).toMatchObject({ code: 'invalid_parameter', extra: { limit: maxPatternBytes } })
      expect(String(error)).toContain('512 bytes')
    }
  })

  test('a backslash before anything but a wildcard or another backslash', () => {
    for (const text of ['\\', 'a\\', 'a\\b', '\\\\\\', '*\\ ', '\\n*', '\\😀', '\\$']) {
      expect([text, failure(text)]).toMatchObject([text, { code: 'invalid_parameter' }])
    }
  })

  test('half a surrogate pair', () => {
    expect(failure('a\ud83d*')).toMatchObject({ code: 'invalid_parameter' })
  })
})

/** The bound is no figure of speed: backtracking would take longer than anybody waits. */
describe('what takes backtracking for ever ends soon', () => {
  const length = 1024 * 1024
  const sameSum = `${'a'.repeat(12)}\`b${'a'.repeat(480)}`
  const cases: [name: string, pattern: string, text: string, matching: boolean][] = [
    ['many stars', `${'a*'.repeat(255)}b`, 'a'.repeat(length), false],
    ['many stars, the end there', `${'a*'.repeat(255)}b`, `${'a'.repeat(length)}b`, true],
    ['many stars, the last but one missing', `*${'a*'.repeat(250)}b*c`, `${'a'.repeat(length)}c`, false],
    ['stars and holes', `*${'a?*'.repeat(165)}b*`, 'a'.repeat(length), false],
    ['a long piece of holes', `*${'a?'.repeat(250)}b*`, 'a'.repeat(length), false],
    ['a long piece that nearly matches', `*${'a'.repeat(500)}b*`, 'a'.repeat(length), false],
    ['a piece with the sum of what it meets', `*${sameSum}*`, 'a'.repeat(length), false],
    ['the same piece at the end', `*${sameSum}*`, `${'a'.repeat(length)}\`b${'a'.repeat(480)}`, true],
    ['a periodic piece', `*${'ab'.repeat(125)}${'ab'.repeat(125)}b*`, 'ab'.repeat(length / 2), false],
    ['only holes', `*${'?'.repeat(500)}*`, 'a'.repeat(499), false],
  ]
  for (const [name, pattern, text, matching] of cases) {
    test(name, () => {
      const start = performance.now()
      expect(compilePattern(pattern).matches(text)).toBe(matching)
      expect(performance.now() - start).toBeLessThan(5000)
    })
  }
})
