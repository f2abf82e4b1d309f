import { expect, test } from 'bun:test'
import { eventStream, isNdjson, isTextType, ndjsonTypes, negotiation, parseWeighted } from './media-types.ts'

test.each([
  ['', []],
  [' , ,', []],
  ['gzip', [['gzip', 1]]],
  ['GZip;Q=0.5', [['gzip', 0.5]]],
  [
    'a/b ; x="1,2;q=0" ; q=0.25 , c/d',
    [
      ['a/b', 0.25],
      ['c/d', 1],
    ],
  ],
  [
    'a/b;q=0, c/d;q=1.000, e/f;q=0.',
    [
      ['a/b', 0],
      ['c/d', 1],
      ['e/f', 0],
    ],
  ],
  ['a;q=2, b;q=-1, c;q=0.1234, d;q=abc, e;q=, f', [['f', 1]]],
  ['a;x="\\"q=0,b"', [['a', 1]]],
  ['a;x="never closed, b', [['a', 1]]],
  ['a;xq=0', [['a', 1]]],
] as [string, [string, number][]][])('%j is taken apart', (header, parts) => {
  expect(parseWeighted(header).map(({ name, weight }): [string, number] => [name, weight])).toEqual(parts)
})

test('a long header takes no longer than it is long', () => {
  for (const part of ['a,', '"', ';', '",', '\\"', 'a;q=0.1,']) {
    const header = part.repeat(8000 / part.length)
    expect(parseWeighted(header).length).toBeLessThanOrEqual(8000)
  }
})

const json = 'application/json'
const [ndjson = '', ...synonyms] = ndjsonTypes
const list = negotiation(json, [eventStream, ...ndjsonTypes])

test.each([
  [null, json],
  ['*/*', json],
  ['', json],
  ['application/json', json],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', json],
  // Nothing of it is there: JSON is better than nothing.
  ['image/png', json],
  [ndjson, ndjson],
  ...synonyms.map((name): [string, string] => [name, name]),
  ['Application/X-NDJSON', ndjson],
  ['application/x-ndjson; charset=utf-8', ndjson],
  ['application/x-ndjson;q=0', json],
  ['application/x-ndjson;q=0, */*', json],
  ['application/x-ndjson;q=0.9, application/json', json],
  ['application/x-ndjson;q=0.9, application/json;q=0.8', ndjson],
  ['application/json;q=0, application/x-ndjson;q=0.1', ndjson],
  // JSON is accepted by a wildcard, with the weight of the most specific.
  ['application/x-ndjson;q=0.5, */*;q=0.1', ndjson],
  ['application/x-ndjson;q=0.5, application/*;q=0.1, */*', ndjson],
  ['application/x-ndjson;q=0.5, application/*', json],
  // What is named goes before what is usual, and before what is not there.
  ['application/json, application/x-ndjson', ndjson],
  ['text/html, application/x-ndjson;q=0.9, */*;q=0.8', ndjson],
  ['application/jsonl, text/event-stream', 'application/jsonl'],
  ['text/event-stream, application/jsonl', eventStream],
  ['application/jsonl;q=0.5, text/event-stream;q=0.6', eventStream],
  // A stream has to be asked for by name.
  ['text/*', json],
  ['application/*', json],
  ['application/x-ndjsons', json],
] as [string | null, string][])('a list for "%s" is %s', (accept, type) => {
  for (let i = 0; i < 2; i++) expect(list(accept)).toBe(type)
})

const member = negotiation('*', [eventStream])

test.each([
  ['text/event-stream', eventStream],
  ['TEXT/Event-Stream;Q=0.5', eventStream],
  ['text/html, text/event-stream;q=0.9', '*'],
  ['text/html;q=0.9, text/event-stream', eventStream],
  ['text/event-stream;q=0', '*'],
  ['text/*', '*'],
  ['image/png', '*'],
])('a member of whatever type for "%s" is %s', (accept, type) => {
  expect(member(accept)).toBe(type)
})

test.each(['application/x-ndjson', 'Application/NDJSON', ' application/jsonl ;charset=utf-8'])(
  '%j is NDJSON',
  (type) => {
    expect(isNdjson(type)).toBe(true)
  },
)

test.each([null, '', 'application/json', 'application/ndjsonx', 'text/x-ndjson'])('%j is none', (type) => {
  expect(isNdjson(type)).toBe(false)
})

test.each([
  'text/plain',
  'TEXT/HTML; charset=UTF-8',
  'text/markdown;charset="utf-8"',
  'text/css; charset=us-ascii',
  'text/csv; header=present',
  'application/xml',
  'image/svg+xml',
  'application/a+yaml; x=1',
  'application/javascript',
  'application/x-www-form-urlencoded',
])('%s is text', (type) => {
  for (let i = 0; i < 2; i++) expect(isTextType(type)).toBe(true)
})

test.each([
  'application/octet-stream',
  'image/png',
  'text/plain; charset=latin1',
  'text/plain;charset=UTF-16LE',
  'application/textual',
  'application/xmlish',
  'x/text',
])('%s is not', (type) => {
  for (let i = 0; i < 2; i++) expect(isTextType(type)).toBe(false)
})
