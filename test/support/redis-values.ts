import type { SourceCommand } from '../../src/importers/redis/connection.ts'

/** Commands that fill a Redis server with values of every type, each in its small and its large form. */
export function fillingCommands(): SourceCommand[] {
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
  return [
    ['SET', 's:text', 'grün'],
    ['SET', 's:integer', 12345],
    ['SET', 's:small', -7],
    ['SET', 's:bytes', Buffer.from([0xff, 0])],
    ['SET', 's:packed', 'ab'.repeat(5000)],
    ['SET', 's:json', '{"a": 1}'],
    ['SET', 's:lasting', 'x', 'PXAT', 4102444800123],
    ['RPUSH', 'l:3', 'a', 'b', 'a'],
    ['RPUSH', 'l:many', ...numbers(3000).map((i) => (i % 2 ? `e${i}` : i * 1000 - 5))],
    ['RPUSH', 'l:odd', 'x'.repeat(9000), Buffer.from([0xfe]), -1, 70_000, -70_000, '9223372036854775807'],
    ['RPUSH', 'l:odd', 4095, -4096, 8_388_607, 2_147_483_647, -32_768, 'y'.repeat(200)],
    ['HSET', 'h:3', 'b', '1', 'a', 'ü', '', ''],
    ['HSET', 'h:many', ...numbers(600).flatMap((i) => [`f${i}`, `v${i}`])],
    ['SADD', 'set:16', 1, 2, -3],
    ['SADD', 'set:32', 1, 2 ** 20],
    ['SADD', 'set:64', 1, 2 ** 40],
    ['SADD', 'set:text', 'b', 'a', 'c'],
    ['ZADD', 'z:4', 1, 'a', 2.5, 'b', '-inf', 'c', 'inf', 'd'],
    ['ZADD', 'z:many', ...numbers(300).flatMap((i) => [i * 1.5, `m${i}`])],
    ...numbers(250).map((i): SourceCommand => {
      const more = i % 7 === 0 ? ['other', `o${i}`] : []
      return ['XADD', 'x:many', `${1000 + i}-${i % 3}`, 'name', `v${i}`, ...more]
    }),
    ['XDEL', 'x:many', '1001-1'],
    ['XADD', 'x:group', '1-1', 'a', 'b'],
    ['XGROUP', 'CREATE', 'x:group', 'g', '0'],
    ['XREADGROUP', 'GROUP', 'g', 'reader', 'STREAMS', 'x:group', '>'],
    ['XADD', 'x:twice', '1-1', 'a', 'b', 'a', 'c'],
    ['SET', Buffer.from([0x62, 0xff]), 'v'],
    ['HSET', 'h:binary', Buffer.from([0xff]), 'v'],
    ['SET', 'k'.repeat(600), 'v'],
    ['FUNCTION', 'LOAD', "#!lua name=lib\nredis.register_function('f', function() return 1 end)"],
    ['SELECT', 3],
    ['SET', 'three', 3],
  ]
}
