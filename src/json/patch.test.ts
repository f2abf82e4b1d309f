import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import jsonPatch, { type Operation } from 'fast-json-patch'
import { maxPatchDepth, maxPatchOperations, maxValueBytes } from '../core/limits.ts'
import { patchLimits } from '../core/patch.ts'
import { JsonError } from './errors.ts'
import { applyJsonPatch, parseJsonPatch } from './patch.ts'

function patched(target: string, patch: string): string {
  return applyJsonPatch(target, parseJsonPatch(patch, patchLimits), patchLimits)
}

function faultOf(work: () => unknown): JsonError {
  try {
    work()
  } catch (error) {
    if (error instanceof JsonError) return error
    throw error
  }
  throw new Error('it was done')
}

/** The appendix of RFC 6902, A.1 to A.16 as far as they succeed; what is beyond it below. */
const cases: [target: string, patch: string, result: string][] = [
  ['{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux"}]', '{"foo":"bar","baz":"qux"}'],
  ['{"foo":["bar","baz"]}', '[{"op":"add","path":"/foo/1","value":"qux"}]', '{"foo":["bar","qux","baz"]}'],
  ['{"baz":"qux","foo":"bar"}', '[{"op":"remove","path":"/baz"}]', '{"foo":"bar"}'],
  ['{"foo":["bar","qux","baz"]}', '[{"op":"remove","path":"/foo/1"}]', '{"foo":["bar","baz"]}'],
  [
    '{"baz":"qux","foo":"bar"}',
    '[{"op":"replace","path":"/baz","value":"boo"}]',
    '{"baz":"boo","foo":"bar"}',
  ],
  [
    '{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}',
    '[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]',
    '{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}',
  ],
  [
    '{"foo":["all","grass","cows","eat"]}',
    '[{"op":"move","from":"/foo/1","path":"/foo/3"}]',
    '{"foo":["all","cows","eat","grass"]}',
  ],
  [
    '{"baz":"qux","foo":["a",2,"c"]}',
    '[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]',
    '{"baz":"qux","foo":["a",2,"c"]}',
  ],
  [
    '{"foo":"bar"}',
    '[{"op":"add","path":"/child","value":{"grandchild":{}}}]',
    '{"foo":"bar","child":{"grandchild":{}}}',
  ],
  ['{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux","xyz":123}]', '{"foo":"bar","baz":"qux"}'],
  ['{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":10}]', '{"/":9,"~1":10}'],
  [
    '{"foo":["bar"]}',
    '[{"op":"add","path":"/foo/-","value":["abc","def"]}]',
    '{"foo":["bar",["abc","def"]]}',
  ],
  // What lies beside the paths keeps its bytes, and so does what is put in, moved and copied.
  [
    '{"n": 12345678901234567890, "f":[1.0, 1e400], "x":0}',
    '[{"op":"replace","path":"/x","value":0.10},{"op":"copy","from":"/f","path":"/g"}]',
    '{"n":12345678901234567890,"f":[1.0, 1e400],"x":0.10,"g":[1.0, 1e400]}',
  ],
  ['{"a":[{"b": 1.0},2.0]}', '[{"op":"move","from":"/a/0","path":"/a/1"}]', '{"a":[2.0,{"b": 1.0}]}'],
  [
    '{"a":{"b":{"c":1.0}}}',
    '[{"op":"add","path":"/a/b/d","value":1},{"op":"move","from":"/a","path":"/z"}]',
    '{"z":{"b":{"c":1.0,"d":1}}}',
  ],
  [' { "a" : [ 1 ] } ', '[]', ' { "a" : [ 1 ] } '],
  [
    '12345678901234567890',
    '[{"op":"test","path":"","value":12345678901234567890.0}]',
    '12345678901234567890',
  ],
  // The whole value, as any other place.
  ['{"a":1}', '[{"op":"replace","path":"","value":[1]},{"op":"add","path":"/-","value":2}]', '[1,2]'],
  ['5', '[{"op":"add","path":"","value":null}]', 'null'],
  ['{"a":[7]}', '[{"op":"move","from":"/a","path":""}]', '[7]'],
  ['{"a":1}', '[{"op":"copy","from":"","path":"/b"}]', '{"a":1,"b":{"a":1}}'],
  ['{"a":1}', '[{"op":"move","from":"","path":""},{"op":"move","from":"/a","path":"/a"}]', '{"a":1}'],
  // Names are only names.
  ['{}', '[{"op":"add","path":"/__proto__","value":{"x":1}}]', '{"__proto__":{"x":1}}'],
  ['{"__proto__":{"x":1}}', '[{"op":"add","path":"/__proto__/y","value":2}]', '{"__proto__":{"x":1,"y":2}}'],
  [
    '{"constructor":{}}',
    '[{"op":"add","path":"/constructor/prototype","value":1}]',
    '{"constructor":{"prototype":1}}',
  ],
  [
    '{"a":{"hasOwnProperty":1}}',
    '[{"op":"test","path":"/a","value":{"hasOwnProperty":1}}]',
    '{"a":{"hasOwnProperty":1}}',
  ],
  ['{"":0,"a":{"":1}}', '[{"op":"remove","path":"/a/"},{"op":"remove","path":"/"}]', '{"a":{}}'],
  ['{"\\u0061":1,"a":2}', '[{"op":"replace","path":"/a","value":3}]', '{"a":3}'],
  ['{"0":"x"}', '[{"op":"move","from":"/0","path":"/-"}]', '{"-":"x"}'],
  ['{"é\\"\\\\":1}', '[{"op":"add","path":"/é\\"\\\\","value":2}]', '{"é\\"\\\\":2}'],
  // Members count by their last, as in JSON.parse.
  ['{}', '[{"op":"test","op":"add","path":"/a","value":1,"value":2}]', '{"a":2}'],
]
test.each(cases)('%s patched with %s', (target, patch, result) => {
  expect(patched(target, patch)).toBe(result)
})

const refused: [target: string, patch: string, code: string, detail: RegExp][] = [
  ['{}', '{"op":"add"}', 'invalid_request', /^a JSON patch is an array/],
  ['{}', 'null', 'invalid_request', /^a JSON patch is an array/],
  ['{}', '[1]', 'invalid_request', /^operation 0: it is not an object/],
  ['{}', '[[]]', 'invalid_request', /^operation 0: it is not an object/],
  ['{}', '[{"op":"add","path":"/a","value":1},{"path":"/a"}]', 'invalid_request', /^operation 1: its "op"/],
  ['{}', '[{"op":"toString","path":"/a"}]', 'invalid_request', /^operation 0: its "op"/],
  ['{}', '[{"op":"Add","path":"/a","value":1}]', 'invalid_request', /^operation 0: its "op"/],
  ['{}', '[{"op":"add","value":1}]', 'invalid_request', /^operation 0: its "path"/],
  ['{}', '[{"op":"add","path":["a"],"value":1}]', 'invalid_request', /^operation 0: its "path"/],
  ['{}', '[{"op":"copy","path":"/a"}]', 'invalid_request', /^operation 0: its "from"/],
  ['{}', '[{"op":"move","path":"/a","from":null}]', 'invalid_request', /^operation 0: its "from"/],
  ['{}', '[{"op":"replace","path":"/a"}]', 'invalid_request', /^operation 0: it has no "value"/],
  ['{}', '[{"__proto__":{"op":"add","path":"/a","value":1}}]', 'invalid_request', /^operation 0: its "op"/],
  ['{}', '[{"op":"add","path":"a","value":1}]', 'invalid_parameter', /^operation 0: .* begin with/],
  ['{}', '[{"op":"add","path":"/~2","value":1}]', 'invalid_parameter', /^operation 0: .*~0/],
  [
    '{"a":{}}',
    '[{"op":"move","from":"/a","path":"/a/b"}]',
    'invalid_request',
    /^operation 0: .* into itself/,
  ],
  ['{"a":1}', '[{"op":"test","path":"/a","value":2}]', 'conflict', /^operation 0: what is at "\/a"/],
  ['{"a":1}', '[{"op":"test","path":"/a","value":"1"}]', 'conflict', /^operation 0/],
  ['{}', '[{"op":"test","path":"/a","value":null}]', 'conflict', /^operation 0: there is nothing at "\/a"/],
  ['{}', '[{"op":"test","path":"/a/b","value":null}]', 'conflict', /^operation 0: there is nothing at "\/a"/],
  [
    '{}',
    '[{"op":"add","path":"/a/b","value":1}]',
    'unprocessable',
    /^operation 0: there is nothing at "\/a"/,
  ],
  ['{"a":1}', '[{"op":"add","path":"/a/b","value":1}]', 'unprocessable', /nothing at "\/a\/b"/],
  ['{"a":{}}', '[{"op":"add","path":"/a/b/c/d","value":1}]', 'unprocessable', /nothing at "\/a\/b"$/],
  ['5', '[{"op":"add","path":"/a","value":1}]', 'unprocessable', /^operation 0/],
  ['null', '[{"op":"add","path":"/a","value":1}]', 'unprocessable', /^operation 0/],
  ['"ab"', '[{"op":"copy","from":"/0","path":""}]', 'unprocessable', /^operation 0/],
  ['{}', '[{"op":"replace","path":"/a","value":1}]', 'unprocessable', /nothing at "\/a"/],
  ['{}', '[{"op":"remove","path":"/toString"}]', 'unprocessable', /nothing at "\/toString"/],
  [
    '{}',
    '[{"op":"copy","from":"/constructor/name","path":"/x"}]',
    'unprocessable',
    /nothing at "\/constructor"/,
  ],
  ['{}', '[{"op":"copy","from":"/__proto__","path":"/x"}]', 'unprocessable', /nothing at "\/__proto__"/],
  [
    '{"a":[1]}',
    '[{"op":"copy","from":"/a/length","path":"/x"}]',
    'unprocessable',
    /nothing at "\/a\/length"/,
  ],
  ['[1]', '[{"op":"remove","path":"/1"}]', 'unprocessable', /nothing at "\/1"/],
  ['[1]', '[{"op":"add","path":"/2","value":1}]', 'unprocessable', /nothing at "\/2"/],
  ['[1]', '[{"op":"add","path":"/-1","value":1}]', 'unprocessable', /nothing at "\/-1"/],
  ['[1]', '[{"op":"add","path":"/00","value":1}]', 'unprocessable', /nothing at "\/00"/],
  ['[1]', '[{"op":"replace","path":"/-","value":1}]', 'unprocessable', /nothing at "\/-"/],
  ['[1,2]', '[{"op":"replace","path":"/1e0","value":1}]', 'unprocessable', /nothing at "\/1e0"/],
  ['{"a":1}', '[{"op":"remove","path":""}]', 'unprocessable', /DELETE/],
]
test.each(refused)('%s refuses %s: %s', async (target, patch, code, detail) => {
  const fault = faultOf(() => patched(target, patch))
  expect([fault.code, fault.message]).toEqual([code, expect.stringMatching(detail)])
  if (fault.message.startsWith('operation')) expect(fault.extra.operation).toBeNumber()
})

describe('bounds', () => {
  const fault = (target: string, operations: unknown[]) =>
    faultOf(() => patched(target, JSON.stringify(operations)))

  test('on operations', async () => {
    const add = { op: 'add', path: '/a', value: 1 }
    expect(patched('{}', JSON.stringify(Array(maxPatchOperations).fill(add)))).toBe('{"a":1}')
    expect((await fault('{}', Array(maxPatchOperations + 1).fill(add))).code).toBe('too_large')
  })

  test('on what copies grow to', async () => {
    const double = Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '', path: `/${i}` }))
    expect((await fault('{"a":"x"}', double)).code).toBe('too_large')
    const large = `{"a":"${'x'.repeat(maxValueBytes / 2)}"}`
    expect(
      (
        await fault(large, [
          { op: 'copy', from: '/a', path: '/b' },
          { op: 'copy', from: '/a', path: '/c' },
        ])
      ).code,
    ).toBe('too_large')
  })

  test('on the work: many operations on a large value end soon', async () => {
    const rows = `[${Array(200_000).fill('{"a":1}').join(',')}]`
    const written = Array.from({ length: maxPatchOperations }, (_, i) =>
      i % 2 === 0 ? { op: 'add', path: '/-', value: 1 } : { op: 'copy', from: '', path: '' },
    )
    expect((await fault(rows, written)).message).toMatch(/^operation \d+: the patch is too much work/)
    const shifts = Array(maxPatchOperations).fill({ op: 'add', path: '/0', value: 1 })
    expect((await fault(rows, shifts)).message).toMatch(/^operation \d+: the patch is too much work/)
  })

  test('on depth: nothing overflows the stack', async () => {
    const deep = (levels: number, inner = '1') => '['.repeat(levels) + inner + ']'.repeat(levels)
    const testOf = (text: string) => `[{"op":"test","path":"","value":${text}}]`
    const deepest = 1_000_000
    expect(patched(deep(deepest), testOf(deep(deepest))).length).toBe(2 * deepest + 1)
    const other = faultOf(() => patched(deep(deepest), testOf(deep(deepest, '2'))))
    expect([other.code, other.extra.operation]).toEqual(['unprocessable', 0])
    const less = faultOf(() => patched(deep(10_000), testOf(deep(10_000, '2'))))
    expect([less.code, less.extra.limit]).toEqual(['unprocessable', maxPatchDepth])
    expect(patched(deep(99), testOf(deep(99, '1.0')))).toBe(deep(99))
    const steps = '/0'.repeat(512)
    expect(patched(deep(600), `[{"op":"replace","path":"${steps}","value":2}]`)).toBe(deep(512, '2'))
    // What is moved below what was opened again and again stays shallow inside.
    const deeper = Array.from({ length: 5000 }, (_, i) => [
      { op: 'add', path: `/n${i + 1}`, value: {} },
      { op: 'move', from: `/n${i}`, path: `/n${i + 1}/x` },
    ]).flat()
    const result = patched('{"n0":{"x":{}}}', JSON.stringify(deeper))
    expect(result).toStartWith('{"n5000":{"x":{"x":{')
    expect(result.match(/"x"/g)?.length).toBe(5001)
  })
})

test('it does what another implementation does, where that follows the RFC', () => {
  const name = fc.constantFrom('a', 'b', '0', '1', '-')
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(0, 1, true, null),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(name, tie('node'), { maxKeys: 4 }),
    ),
  })).node
  const pointer = fc.array(name, { maxLength: 3 }).map((steps) => steps.map((step) => `/${step}`).join(''))
  const operation = fc.oneof(
    fc.record({ op: fc.constantFrom('add', 'replace', 'test'), path: pointer, value: tree }),
    fc.record({ op: fc.constant('remove'), path: pointer }),
    fc.record({ op: fc.constantFrom('move', 'copy'), path: pointer, from: pointer }),
  )
  let done = 0
  fc.assert(
    fc.property(tree, fc.array(operation, { maxLength: 4 }), (target, operations) => {
      const expected = elsewhere(target, operations as Operation[])
      if (expected === undefined) return
      done++
      expect(JSON.parse(patched(JSON.stringify(target), JSON.stringify(operations)))).toEqual(expected)
    }),
    { numRuns: 3000 },
  )
  expect(done).toBeGreaterThan(100)
})

function parsed(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

/** What fast-json-patch makes of it; undefined where it fails, or does what the RFC does not say. */
function elsewhere(target: unknown, operations: Operation[]): unknown {
  // It looks into strings, adds to numbers without a word, leaves null behind where all is removed, and moves and
  // copies things into themselves and past the ends of arrays.
  if (operations.some(({ op, path }) => op === 'remove' && path === '')) return undefined
  for (const one of operations) {
    if ('from' in one && (one.path.startsWith(`${one.from}/`) || /\/\d$/.test(one.path))) return undefined
  }
  try {
    let current = parsed(target)
    for (const one of operations) {
      if (typeof current !== 'object' || current === null) return undefined
      // What a move takes away may change what its path leads to: it is checked step by step.
      const moved = one.op === 'move' ? jsonPatch.getValueByPointer(current, one.from) : undefined
      const steps: Operation[] =
        one.op !== 'move'
          ? [one]
          : [
              { op: 'remove', path: one.from },
              { op: 'add', path: one.path, value: moved },
            ]
      for (const step of steps)
        current = jsonPatch.applyPatch(current, parsed([step]) as Operation[], true, true).newDocument
    }
    return current
  } catch {
    return undefined
  }
}
