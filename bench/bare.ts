/**
 * The ceiling: a server that sends the same bytes and headers for every request and does nothing else. `bun
 * bench/bare.ts PORT BODY HEADERS`, the headers as JSON pairs.
 */
const [port = '', body = '', headers = '[]'] = process.argv.slice(2)
const init = { headers: new Headers(JSON.parse(headers)) }

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(port),
  development: false,
  reusePort: false,
  fetch: () => new Response(body, init),
})
