import { expect, test } from 'bun:test'
import { parseEntityTags } from './entity-tags.ts'

test('lists of tags are read as RFC 9110 has them', () => {
  const lists: [string, string[] | 'any'][] = [
    ['*', 'any'],
    ['"*"', ['*']],
    ['"12"', ['12']],
    ['""', ['']],
    ['W/"12"', ['12']],
    ['"1","2"', ['1', '2']],
    ['"1", W/"2" ,\t"3"', ['1', '2', '3']],
    [',"1"', ['1']],
    ['"1",', ['1']],
    [', ,"1",, ,"2" , ,', ['1', '2']],
    ['"a,b", "c"', ['a,b', 'c']],
    ['"W/"', ['W/']],
    ['"\\"', ['\\']],
    ['"\xe9!~"', ['\xe9!~']],
    ['"*", "1"', ['*', '1']],
  ]
  for (const [text, tags] of lists) expect([text, parseEntityTags('If-Match', text)]).toEqual([text, tags])
})

test('nothing else is a list of tags', () => {
  const wrong = [
    '',
    ' ',
    ',',
    ', ,',
    '12',
    'W/12',
    '"1" "2"',
    '"1',
    '1"',
    '"a b"',
    '"\x7f"',
    'w/"1"',
    'W/ "1"',
    "'1'",
  ]
  for (const text of [...wrong, '*, "1"', '"1", *', '**', 'W/*', '"1";"2"', '"1", x']) {
    expect(() => parseEntityTags('If-Match', text)).toThrow('If-Match is not a list of tags')
  }
})

test('a long list that is none is rejected quickly', () => {
  const text = `${'"1", , ,'.repeat(2000)}x`
  expect(() => parseEntityTags('If-Match', text)).toThrow('If-Match')
})
