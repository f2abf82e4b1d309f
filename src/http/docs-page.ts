import bundleStyle from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import bundle from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import { KvistError } from '../core/errors.ts'
import { pageAnswer } from './answer.ts'
import start from './docs-page/start.js' with { type: 'file' }
import style from './docs-page/style.css' with { type: 'file' }
import { serverTag } from './operation.ts'
import type { Route } from './route.ts'

/** `/docs`: the API's document as a page to read and to try, Swagger UI, from this program and nowhere else. */

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>kvist API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

/** Nothing but this server: what the page needs, and what it tries, is here. Icons stand in the style as data. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const fields = {
  'Content-Security-Policy': policy,
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
}

interface Asset {
  readonly path: string
  readonly type: string
}

const assets: Readonly<Record<string, Asset>> = {
  'swagger-ui-bundle.js': { path: bundle, type: 'text/javascript; charset=utf-8' },
  'swagger-ui.css': { path: bundleStyle, type: 'text/css; charset=utf-8' },
  'start.js': { path: start, type: 'text/javascript; charset=utf-8' },
  'style.css': { path: style, type: 'text/css; charset=utf-8' },
}

/** Without a token: they say nothing of what is stored, and a browser could not send one. */
export const docsRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/docs',
    summary: 'The API as a page to read and to try',
    tag: serverTag,
    access: 'open',
    isPage: true,
    docs: {
      answers: { 200: { description: 'The page', content: { 'text/html': { schema: { type: 'string' } } } } },
    },
    handle: () => pageAnswer({ ...fields, 'Content-Type': 'text/html; charset=utf-8' }, page),
  },
  {
    method: 'GET',
    path: '/docs/:file',
    summary: 'A file of that page',
    tag: serverTag,
    access: 'open',
    docs: { answers: { 200: { description: 'The file' } }, problems: ['not_found'] },
    async handle(request) {
      const file = request.parameter('file') ?? ''
      const asset = Object.hasOwn(assets, file) ? assets[file] : undefined
      if (asset === undefined) throw new KvistError('not_found', 'the page has no such file')
      const headers = { ...fields, 'Content-Type': asset.type, 'Cache-Control': 'max-age=3600' }
      return pageAnswer(headers, await Bun.file(asset.path).bytes())
    },
  },
]
