import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { incrementAt } from './increment.ts'
import { rawElements, rawMember, rawMembers } from './scan.ts'

/** JSON texts as people and programs write them, made of parts whose raw text is known. */
const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 2 })
const scalar = fc.constantFrom(
  ...['1.0', '1e400', '-0', '0', '12345678901234567890', '-1.50E+2', 'true', 'false', 'null'],
  ...['""', '"a"', '"\\""', '"\\\\"', '"\\\\\\""', '"{[,]}:"', '"\\u0022"', '"ä😀"', '"a\\"b\\\\"'],
)
const name = fc.constantFrom(
  ...[
    '"a"',
    '"b"',
    '"\\u0061"',
    '"value"',
    '"v\\u0061lue"',
    '""',
    '"\\""',
    '"\\\\"',
    '"a/b"',
    '"a~b"',
    '"0"',
  ],
  ...[
    '"__proto__"',
    '"constructor"',
    '"toString"',
    '"😀"',
    '"\\ud83d\\ude00"',
    '"\\ud83d"',
    '"}"',
    '"a\\\\"',
  ],
)
const { entries, elements } = fc.letrec<{
  value: string
  entries: [name: string, value: string][]
  elements: string[]
}>((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, scalar, objectText(tie('entries')), arrayText(tie('elements'))),
  entries: fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }),
  elements: fc.array(tie('value'), { maxLength: 4 }),
}))

function objectText(entries: fc.Arbitrary<[name: string, value: string][]>): fc.Arbitrary<string> {
  return fc.tuple(entries, space, space).map(([entries, a, b]) => {
    const members = entries.map(([name, value]) => `${a}${name}${b}:${a}${value}${b}`)
    return `${b}{${members.length === 0 ? a : members.join(',')}}${a}`
  })
}

function arrayText(elements: fc.Arbitrary<string[]>): fc.Arbitrary<string> {
  return fc.tuple(elements, space, space).map(([elements, a, b]) => {
    return `${a}[${elements.length === 0 ? b : elements.map((value) => `${b}${value}${a}`).join(',')}]${b}`
  })
}

function decoded(name: string): string {
  return String(JSON.parse(name))
}

describe('rawMember and rawMembers', () => {
  test('keep values byte for byte', () => {
    const line =
      ' { "key" : "k\\n" ,"value":{ "n" : 1.0,\t"big":12345678901234567890, "s":"}\\"," } , "expire_in":1e400}'
    expect(rawMember(line, 'value')).toBe('{ "n" : 1.0,\t"big":12345678901234567890, "s":"}\\"," }')
    expect([...rawMembers(line)]).toEqual([
      ['key', '"k\\n"'],
      ['value', '{ "n" : 1.0,\t"big":12345678901234567890, "s":"}\\"," }'],
      ['expire_in', '1e400'],
    ])
  })

  test('the last of several with one name counts, however it is spelled', () => {
    expect(rawMember('{"value":1,"v\\u0061lue":2.0}', 'value')).toBe('2.0')
    expect(rawMember('{"v\\u0061lue":2.0,"value":1}', 'value')).toBe('1')
    expect(rawMembers('{"a":1,"b":2,"\\u0061":3}')).toEqual(
      new Map([
        ['a', '3'],
        ['b', '2'],
      ]),
    )
  })

  test('a name is not its own raw spelling', () => {
    expect(rawMember('{"a\\\\b":1}', 'a\\\\b')).toBeUndefined()
    expect(rawMember('{"a\\\\b":1}', 'a\\b')).toBe('1')
  })

  test('only top-level members are seen', () => {
    expect(rawMember('{"a":{"value":1},"b":[{"value":2}]}', 'value')).toBeUndefined()
  })

  test('what is no object has no members', () => {
    for (const text of ['[{"value":1}]', '"value"', '1', 'null', ' [] ', '{}', ' { } ']) {
      expect(rawMember(text, 'value')).toBeUndefined()
      expect(rawMembers(text).size).toBe(0)
    }
  })

  test('names that objects inherit are ordinary names', () => {
    const text = '{"__proto__":{"x":1},"constructor":2}'
    expect(rawMember(text, '__proto__')).toBe('{"x":1}')
    expect(rawMember(text, 'constructor')).toBe('2')
    expect(rawMember(text, 'toString')).toBeUndefined()
    expect(Object.getPrototypeOf({}).x).toBeUndefined()
  })

  test('whatever the members, names and spaces', () => {
    fc.assert(
      fc.property(
        entries.chain((entries) => fc.tuple(fc.constant(entries), objectText(fc.constant(entries)))),
        ([entries, text]) => {
          JSON.parse(text)
          // The values of an object may have spaces around them, which are not theirs.
          const expected = new Map(entries.map(([name, value]) => [decoded(name), value.trim()]))
          expect(rawMembers(text)).toEqual(expected)
          for (const [name, value] of expected) expect(rawMember(text, name)).toBe(value)
          expect(rawMember(text, 'missing')).toBeUndefined()
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('end for every text, JSON or not', () => {
    const text = fc.string({
      unit: fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '\\', '1', ' '),
      maxLength: 12,
    })
    fc.assert(
      fc.property(text, (text) => {
        for (const read of [() => rawMember(text, '1'), () => rawMembers(text), () => rawElements(text)]) {
          try {
            read()
          } catch (error) {
            expect(error).toBeInstanceOf(SyntaxError)
          }
        }
      }),
      { numRuns: 5000 },
    )
  })

  test('time grows with the text alone: names longer than the one looked for, with no escape after them', () => {
    const text = `{${'"longer":0,'.repeat(100_000)}"value":"${'x'.repeat(1_000_000)}"}`
    const start = performance.now()
    expect(rawMember(text, 'a')).toBeUndefined()
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe('rawElements', () => {
  test('whatever the elements and spaces', () => {
    fc.assert(
      fc.property(
        elements.chain((elements) => fc.tuple(fc.constant(elements), arrayText(fc.constant(elements)))),
        ([elements, text]) => {
          expect(JSON.parse(text)).toHaveLength(elements.length)
          expect(rawElements(text)).toEqual(elements.map((value) => value.trim()))
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('what is no array has no elements', () => {
    for (const text of ['{"a":[1]}', '1', '"[1]"', 'null']) expect(rawElements(text)).toEqual([])
  })
})

describe('incrementAt', () => {
  const cases: [text: string | undefined, pointer: string, by: number, result: string][] = [
    ['1', '', 1, '2'],
    [' 1.0 ', '', 1, ' 2 '],
    ['-5', '', 5, '0'],
    ['-0', '', -0, '0'],
    ['0.5', '', 0.25, '0.75'],
    ['1e2', '', 1, '101'],
    ['0', '', 1e-7, '1e-7'],
    ['9007199254740990', '', 1, '9007199254740991'],
    ['-9007199254740990', '', -1, '-9007199254740991'],
    ['{"views": 1 , "x":1.0}', '/views', 2, '{"views": 3 , "x":1.0}'],
    ['{"a":{"b":[1,{"c":7}]}}', '/a/b/1/c', -7, '{"a":{"b":[1,{"c":0}]}}'],
    ['[1, 2,3]', '/1', 10, '[1, 12,3]'],
    ['{"a/b":1,"m~n":2}', '/a~1b', 1, '{"a/b":2,"m~n":2}'],
    ['{"a/b":1,"m~n":2}', '/m~0n', 1, '{"a/b":1,"m~n":3}'],
    ['{"~1":1}', '/~01', 1, '{"~1":2}'],
    ['{"":1}', '/', 1, '{"":2}'],
    ['{"\\u0061":1}', '/a', 1, '{"\\u0061":2}'],
    ['{"a":1,"a":5}', '/a', 1, '{"a":1,"a":6}'],
    ['{"a":{"b":1},"a":{"b":5}}', '/a/b', 1, '{"a":{"b":1},"a":{"b":6}}'],
    ['{"a":{"b":1},"a":{}}', '/a/b', 1, '{"a":{"b":1},"a":{"b":1}}'],
    ['{"a":0,"a":{"b":1}}', '/a/b', 1, '{"a":0,"a":{"b":2}}'],
    ['{}', '/views', 3, '{"views":3}'],
    [' { } ', '/views', 1, ' {"views":1 } '],
    ['{"a":1 }', '/views', 1, '{"a":1,"views":1 }'],
    ['{"a":[]\n}', '/"\\', 1, '{"a":[],"\\"\\\\":1\n}'],
    ['{"a":{"x":"}"},"b":0}', '/a/views', 1, '{"a":{"x":"}","views":1},"b":0}'],
    ['{"0":1}', '/0', 1, '{"0":2}'],
    ['{"01":1}', '/01', 1, '{"01":2}'],
    ['{"-":1}', '/-', 1, '{"-":2}'],
    ['{}', '/__proto__', 1, '{"__proto__":1}'],
    ['{"__proto__":{"polluted":1}}', '/__proto__/polluted', 1, '{"__proto__":{"polluted":2}}'],
    ['{}', '/constructor', 1, '{"constructor":1}'],
    [undefined, '', 5, '5'],
    [undefined, '/views', 1, '{"views":1}'],
    [undefined, '/0', 1, '{"0":1}'],
    [undefined, '/__proto__', 1, '{"__proto__":1}'],
  ]
  for (const [text, pointer, by, result] of cases) {
    test(`${JSON.stringify(text)} at ${JSON.stringify(pointer)} by ${by}`, () => {
      expect(incrementAt(text, pointer, by).text).toBe(result)
      JSON.parse(result)
    })
  }

  test('returns the number as it is in the text', () => {
    expect(incrementAt('{"a":1.5}', '/a', 1)).toEqual({ text: '{"a":2.5}', value: 2.5 })
    expect(incrementAt('-0', '', -0)).toEqual({ text: '0', value: 0 })
    expect(incrementAt(undefined, '/a', -0)).toEqual({ text: '{"a":0}', value: 0 })
  })

  const refused: [text: string | undefined, pointer: string, by: number, code: string, detail: string][] = [
    ['{"a":"1"}', '/a', 1, 'unprocessable', 'the value at "/a" is not a number'],
    ['{"a":null}', '/a', 1, 'unprocessable', '"/a" is not a number'],
    ['{"a":true}', '/a', 1, 'unprocessable', '"/a" is not a number'],
    ['{"a":{}}', '/a', 1, 'unprocessable', '"/a" is not a number'],
    ['[1]', '', 1, 'unprocessable', 'the value at "" is not a number'],
    ['{}', '/a/b', 1, 'unprocessable', 'nothing at "/a"'],
    ['{"a":{}}', '/a/b/c', 1, 'unprocessable', 'nothing at "/a/b"'],
    ['{"a":1}', '/a/b', 1, 'unprocessable', 'nothing at "/a/b"'],
    ['{"a":{"b":1},"a":0}', '/a/b', 1, 'unprocessable', 'nothing at "/a/b"'],
    ['{"a":[1],"a":[]}', '/a/0', 1, 'unprocessable', 'nothing at "/a/0"'],
    ['"text"', '/a~1b', 1, 'unprocessable', 'nothing at "/a~1b"'],
    [undefined, '/a/b', 1, 'unprocessable', 'nothing at "/a"'],
    ['[1]', '/1', 1, 'unprocessable', 'nothing at "/1"'],
    ['[]', '/0', 1, 'unprocessable', 'nothing at "/0"'],
    ['[1]', '/-', 1, 'unprocessable', 'nothing at "/-"'],
    ['[1]', '/00', 1, 'unprocessable', 'nothing at "/00"'],
    ['[1]', '/-0', 1, 'unprocessable', 'nothing at "/-0"'],
    ['[1]', '/', 1, 'unprocessable', 'nothing at "/"'],
    ['[1]', '/0e0', 1, 'unprocessable', 'nothing at "/0e0"'],
    ['1e400', '', 1, 'unprocessable', '2^53'],
    ['9007199254740991', '', 1, 'unprocessable', '2^53'],
    ['-9007199254740991', '', -1, 'unprocessable', '2^53'],
    ['12345678901234567890', '', -12345678901234567000, 'unprocessable', '2^53'],
    ['-9007199254740991', '', 9007199254740992, 'unprocessable', '2^53'],
    [undefined, '', 1e300, 'unprocessable', '2^53'],
    ['1', '', Number.NaN, 'invalid_parameter', 'must be a number'],
    ['1', '', Number.POSITIVE_INFINITY, 'invalid_parameter', 'must be a number'],
    ['{"a":1}', 'a', 1, 'invalid_parameter', 'begin with "/"'],
    ['{"~":1}', '/~', 1, 'invalid_parameter', '"~0"'],
    ['{"~2":1}', '/~2', 1, 'invalid_parameter', '"~0"'],
    [undefined, '/~', 1, 'invalid_parameter', '"~0"'],
    ['1', `/${'a'.repeat(1024)}`, 1, 'invalid_parameter', '1024'],
  ]
  for (const [text, pointer, by, code, detail] of refused) {
    test(`refuses ${JSON.stringify(text)} at ${JSON.stringify(pointer.slice(0, 20))} by ${by}`, () => {
      let error: unknown
      try {
        incrementAt(text, pointer, by)
      } catch (thrown) {
        error = thrown
      }
      expect(error).toMatchObject({ code })
      expect(String(error)).toContain(detail)
    })
  }

  /** A number within objects and arrays: the text before and after it, and the pointer to it. */
  interface Framed {
    before: string
    after: string
    pointer: string
  }
  const target: fc.Arbitrary<Framed> = fc.constant({ before: '', after: '', pointer: '' })
  const framed = fc
    .array(fc.tuple(fc.boolean(), entries, entries, name, space, space), { maxLength: 4 })
    .chain((frames) => target.map((start) => frames.reduce(frame, start)))

  function frame(
    { before, after, pointer }: Framed,
    [isArray, earlier, later, name, a, b]: [
      boolean,
      [string, string][],
      [string, string][],
      string,
      string,
      string,
    ],
  ): Framed {
    if (isArray) {
      const left = earlier.map(([, value]) => `${value}${a},`).join('')
      const right = later.map(([, value]) => `,${b}${value}`).join('')
      return {
        before: `${a}[${left}${before}`,
        after: `${after}${right}]${b}`,
        pointer: `/${earlier.length}${pointer}`,
      }
    }
    const step = decoded(name).replaceAll('~', '~0').replaceAll('/', '~1')
    const left = earlier.map((member) => `${member.join(`${a}:`)}${b},`).join('')
    const others = later.filter(([other]) => decoded(other) !== decoded(name))
    const right = others.map((member) => `,${a}${member.join(`${b}:`)}`).join('')
    return {
      before: `${b}{${left}${name}${a}:${before}`,
      after: `${after}${right}}${a}`,
      pointer: `/${step}${pointer}`,
    }
  }

  test('changes the characters of the number and no others', () => {
    const number = fc.integer({ min: -1_000_000, max: 1_000_000 })
    fc.assert(
      fc.property(framed, number, number, ({ before, after, pointer }, current, by) => {
        const text = `${before}${current}${after}`
        JSON.parse(text)
        expect(incrementAt(text, pointer, by)).toEqual({
          text: `${before}${current + by}${after}`,
          value: current + by,
        })
      }),
      { numRuns: 2000 },
    )
  })

  test('inserts a missing member and touches nothing else', () => {
    fc.assert(
      fc.property(framed, entries, space, ({ before, after, pointer }, entries, a) => {
        const members = entries.map(([name, value]) => `${a}${name}:${value.trim()}`).join(',')
        const text = (inserted: string) => `${before}{${members}${inserted}${a}}${after}`
        const inserted = `${members === '' ? '' : ','}"missing":1`
        JSON.parse(text(''))
        expect(incrementAt(text(''), `${pointer}/missing`, 1)).toEqual({ text: text(inserted), value: 1 })
      }),
      { numRuns: 2000 },
    )
  })

  test('goes through deep texts', () => {
    const depth = 512
    const filling = `"b":"${'x'.repeat(2000)}"`
    const text = `{${filling},"a":`.repeat(depth) + 1 + '}'.repeat(depth)
    expect(incrementAt(text, '/a'.repeat(depth), 1).value).toBe(2)
    const deeper = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`
    expect(incrementAt(`{"a":${deeper}}`, '/n', 1).text).toBe(`{"a":${deeper},"n":1}`)
  })
})
