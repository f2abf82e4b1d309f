import { expect, test } from 'bun:test'
import { isHost } from './host.ts'

test('hosts are names and addresses, with or without a port', () => {
  const valid = [
    '',
    'localhost',
    'localhost:7070',
    'a.example',
    'a.example.',
    'A-b_c~d.example:1',
    '127.0.0.1',
    '127.0.0.1:65535',
    '[::1]',
    '[::1]:7070',
    '[2001:db8::8a2e:370:7334]:0',
    '[::ffff:127.0.0.1]',
    'x:',
    'xn--bcher-kva.example',
    "a!$&'()*+,;=b",
    'a%20b',
  ]
  for (const host of [...valid, ...valid]) expect([host, isHost(host)]).toEqual([host, true])
})

test('nothing else is a host', () => {
  const invalid = [
    'a b',
    'a/b',
    '"x"',
    '[::1',
    '::1',
    '::1]',
    '[::1]x',
    '[]',
    '[:::]',
    '[12345::]',
    '[127.0.0.1]',
    '[::1%25lo]',
    '[::1]:x',
    'x:65536',
    'x:123456',
    'x:-1',
    'x:1:2',
    'user@x',
    'user:word@x',
    'x?y',
    'x#y',
    'x\\y',
    '<x>',
    '{x}',
    'x|y',
    'x^y',
    'x`y',
    'a%2',
    'a%zz',
    '\xfcx',
    'x\ty',
    'http://x',
    'x, y',
  ]
  expect(isHost('x')).toBe(true)
  for (const host of invalid) expect([host, isHost(host)]).toEqual([host, false])
})
