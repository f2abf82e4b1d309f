import bundleStyle from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import bundle from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import { KvistError } from '../core/errors.ts'
import { compressedOnce } from './compression.ts'
import start from './docs-page/start.js' with { type: 'file' }
import style from './docs-page/style.css' with { type: 'file' }
import { embeddedFile } from './embedded.ts'
import { serverTag } from './operation.ts'
import { pageResponse } from './response.ts'
import type { Route } from './route.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

/** `/docs`: Swagger UI for the API's document. All files are served by this program. */

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
<script type="module" src="/docs/start.js"></script>
</body>
</html>
`

/** Allows scripts, styles and requests of this server only. Icons are data URLs in the stylesheet. */
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
  Vary: 'Accept-Encoding',
}

type Send = (request: HttpRequest) => Promise<HttpResponse>

function assetAt(path: string, type: string): Send {
  const headers = { ...fields, 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'max-age=3600' }
  return compressedOnce(
    () => embeddedFile(path).bytes(),
    (body) => pageResponse(headers, body),
  )
}

const assets: Readonly<Record<string, Send>> = {
  'swagger-ui-bundle.js': assetAt(bundle, 'text/javascript'),
  'swagger-ui.css': assetAt(bundleStyle, 'text/css'),
  'start.js': assetAt(start, 'text/javascript'),
  'style.css': assetAt(style, 'text/css'),
}

const sendPage: Send = compressedOnce(
  () => page,
  (body) => pageResponse({ ...fields, 'Content-Type': 'text/html; charset=utf-8' }, body),
)

/** Open without a token: they reveal nothing that is stored, and a browser could not send one. */
export const docsRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/docs',
    summary: 'The API as a page to read and to try',
    tag: serverTag,
    access: 'open',
    isPage: true,
    docs: {
      responses: {
        200: { description: 'The page', content: { 'text/html': { schema: { type: 'string' } } } },
      },
    },
    handle: sendPage,
  },
  {
    method: 'GET',
    path: '/docs/:file',
    summary: 'A file of that page',
    tag: serverTag,
    access: 'open',
    docs: { responses: { 200: { description: 'The file' } }, problems: ['not_found'] },
    async handle(request) {
      const file = request.parameter('file') ?? ''
      const asset = Object.hasOwn(assets, file) ? assets[file] : undefined
      if (asset === undefined) throw new KvistError('not_found', 'the page has no such file')
      return asset(request)
    },
  },
]
