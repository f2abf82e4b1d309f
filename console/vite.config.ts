import { join } from 'node:path'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type ProxyOptions } from 'vite'

const server = process.env.KVIST_URL ?? 'http://127.0.0.1:7070'

/** Passes requests of `vite dev` on as those of a page of the server itself. */
const toServer: ProxyOptions = {
  target: server,
  changeOrigin: true,
  configure: (proxy) => proxy.on('proxyReq', (request) => request.removeHeader('origin')),
}

export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  plugins: [svelte()],
  resolve: { alias: { 'kvist-client': join(import.meta.dirname, '../sdk/client.ts') } },
  server: {
    proxy: Object.fromEntries(
      ['/v1', '/metrics', '/openapi.json', '/docs', '/healthz'].map((path) => [path, toServer]),
    ),
  },
  build: {
    target: ['chrome123', 'firefox121', 'safari17.5'],
    modulePreload: { polyfill: false },
    // A file in a data URL would need an exception in the content security policy.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    license: true,
  },
})
