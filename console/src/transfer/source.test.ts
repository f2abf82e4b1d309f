import { describe, expect, test } from 'bun:test'
import { CsvReader, csvField } from './csv.ts'
import { JsonSplitter } from './json-splitter.ts'
import { fieldsOf, kindOf, LineSource, type SourceOptions, separatorOf } from './source.ts'

const defaults: SourceOptions = { kind: 'ndjson', keyField: '', separator: ',', infer: false }

/** Reads a text in pieces of a size. */
function linesOf(text: string, size: number, options: Partial<SourceOptions>) {
  const source = new LineSource({ ...defaults, ...options })
  const lines = []
  for (let at = 0; at < text.length; at += size) lines.push(...source.push(text.slice(at, at + size)))
  return [...lines, ...source.finish()]
}

const sizes = [1, 2, 3, 7, 1000]

test('a file is known by its name, or by how it begins', () => {
  expect(kindOf('a.csv', '{')).toBe('csv')
  expect(kindOf('a.jsonl', 'x')).toBe('ndjson')
  expect(kindOf('a.json', ' [1')).toBe('json')
  expect(kindOf('a.json', '{\n "a": 1')).toBe('json')
  expect(kindOf('a.json', '{"key":"a","value":1}\n{"key"')).toBe('ndjson')
  expect(kindOf('a.json', '{"a":1}\n')).toBe('json')
  expect(kindOf('a', 'id,name\n')).toBe('csv')
  expect([separatorOf('a;b,c;d\n'), separatorOf('a\tb'), separatorOf('a')]).toEqual([';', '\t', ','])
})

test('the fields to choose the key from are those of the first line, element or row', () => {
  expect(fieldsOf('csv', ';', 'id;"a;b"\n1')).toEqual(['id', 'a;b'])
  expect(fieldsOf('ndjson', ',', '{"key":"a","value":1}\n{')).toEqual(['key', 'value'])
  expect(fieldsOf('json', ',', '[{"id":1,"n":[1,2]},{"x"')).toEqual(['id', 'n'])
  expect(fieldsOf('json', ',', '{"a":{"b":1},"c"')).toEqual([])
  expect(fieldsOf('ndjson', ',', 'no JSON')).toEqual([])
})

describe.each(sizes)('in pieces of %d', (size) => {
  test('lines of NDJSON are sent as they stand, empty ones are none', () => {
    const lines = linesOf('\ufeff{"key":"a","value":1.10}\r\n\n{"key":"b"\n', size, {})
    expect(lines).toEqual([
      { line: 1, text: '{"key":"a","value":1.10}', problem: null },
      { line: 3, text: '{"key":"b"', problem: null },
    ])
  })

  test('with the field of a key each line is a value', () => {
    const lines = linesOf('{"id":7,"n":1e400}\n[1]\n{"id":"x"}', size, { keyField: 'id' })
    expect(lines.map(({ text }) => text)).toEqual([
      '{"key":"7","value":{"id":7,"n":1e400}}',
      '{"key":"","value":[1]}',
      '{"key":"x","value":{"id":"x"}}',
    ])
    expect(lines.map(({ problem }) => problem)).toEqual([null, 'it has no text or number in "id"', null])
  })

  test('elements of an array and members of an object keep their text', () => {
    const array = linesOf('[\n {"id": "a", "t": "]},[\\"",\n "n": 1.0},\n {"id":"b"} ]\n', size, {
      ...{ kind: 'json', keyField: 'id' },
    })
    expect(array.map(({ text }) => text)).toEqual([
      '{"key":"a","value":{"id": "a", "t": "]},[\\"", "n": 1.0}}',
      '{"key":"b","value":{"id":"b"}}',
    ])
    const object = linesOf('{"a:b" : 1.50, "": {"x":[1,2]}}', size, { kind: 'json' })
    expect(object.map(({ text }) => text)).toEqual([
      '{"key":"a:b","value":1.50}',
      '{"key":"","value":{"x":[1,2]}}',
    ])
    expect(linesOf('[]', size, { kind: 'json' })).toEqual([])
  })

  test('rows of CSV are objects of their columns', () => {
    const text = 'id,"a ""name""",n\r\n1,"x, ""y""\nz",007\r\n\r\n2,,1.50\n3,only two\n'
    const lines = linesOf(text, size, { kind: 'csv', keyField: 'id', infer: true })
    expect(lines).toEqual([
      {
        line: 2,
        text: '{"key":"1","value":{"id":1,"a \\"name\\"":"x, \\"y\\"\\nz","n":"007"}}',
        problem: null,
      },
      { line: 5, text: '{"key":"2","value":{"id":2,"a \\"name\\"":null,"n":1.50}}', problem: null },
      {
        line: 6,
        text: '{"key":"3","value":{"id":3,"a \\"name\\"":"only two","n":null}}',
        problem: 'it has 2 fields, and the first line 3',
      },
    ])
  })
})

test.each(['1', '[1', '[1,]', '{"a"}', '{"a":}', '[1]]', '{1:2}', ''])('%j is no whole JSON', (text) => {
  const splitter = new JsonSplitter()
  expect(() => {
    splitter.push(text)
    splitter.finish()
  }).toThrow()
})

test('what is no CSV says so', () => {
  expect(() => linesOf('', 1, { kind: 'csv', keyField: 'id' })).toThrow('the file is empty')
  expect(() => linesOf('a,b\n1,2', 1, { kind: 'csv', keyField: 'id' })).toThrow(
    'no column "id": there are a, b',
  )
  expect(() => linesOf('id\n"1', 1, { kind: 'csv', keyField: 'id' })).toThrow(
    'quotes of line 2 are not closed',
  )
})

test('what is written as CSV is read as it was', () => {
  const fields = ['', 'a', 'a,b', '"', 'x\r\ny', ' ü ']
  const reader = new CsvReader(',')
  const rows = [...reader.push(`${fields.map(csvField).join(',')}\n`), ...reader.finish()]
  expect(rows.map((row) => row.fields)).toEqual([fields])
})
