import { randomBytes } from 'node:crypto'
import packPath from '../../console/dist/console.pack' with { type: 'file' }
import { KvistError } from '../core/errors.ts'
import { chooseCoding } from './compression.ts'
import { type PackedFile, unpack } from './console-pack.ts'
import { recordsCollection } from './dialects/minstore.ts'
import { embeddedFile } from './embedded.ts'
import { isNamed } from './entity-tags.ts'
import { negotiation } from './media-types.ts'
import { serverTag } from './operation.ts'
import { headerBlockOf, pageResponse, responseOf } from './response.ts'
import type { Route } from './route.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

/**
 * `/console`: the web console. Every path below it is the same page, which reads its address itself, except the paths of
 * the page's files. All of them are served by this program, and the page may ask no other.
 */

/** What the pages of the console may do; `nonce` is for the style elements of the editor, which are made by script. */
function policyWith(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' blob: data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    // No text becomes markup but Svelte's templates, which are constants of the program.
    "require-trusted-types-for 'script'",
    'trusted-types svelte-trusted-html',
  ].join('; ')
}

const fields = {
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
}

/** The page marks with it where the nonce goes. */
const nonceMark = '%NONCE%'
const nonceBytes = 16
const pagePath = 'index.html'
/** The names of these files change with their content. */
const isHashed = (path: string) => path.startsWith('assets/')
const dayInSeconds = 24 * 3600
const yearInSeconds = 365 * dayInSeconds

type Files = ReadonlyMap<string, PackedFile>

let reading: Promise<Files> | undefined

/** Reads the files when the first one is asked for. */
function filesOfConsole(): Promise<Files> {
  reading ??= embeddedFile(packPath).bytes().then(unpack)
  return reading
}

async function sendPage(): Promise<HttpResponse> {
  const page = (await filesOfConsole()).get(pagePath)!
  const nonce = randomBytes(nonceBytes).toString('base64')
  const headers = {
    'Content-Security-Policy': policyWith(nonce),
    ...fields,
    'Content-Type': page.type,
    'Cache-Control': 'no-cache',
  }
  return pageResponse(headers, Buffer.from(page.plain()).toString().replaceAll(nonceMark, nonce))
}

function sendFile(request: HttpRequest, path: string, { type, tag, plain, coded }: PackedFile): HttpResponse {
  const lifetime = isHashed(path) ? `max-age=${yearInSeconds}, immutable` : `max-age=${dayInSeconds}`
  const coding = chooseCoding(request.header('accept-encoding') ?? '', [...coded.keys()])
  const caching = { ETag: `"${tag}"`, 'Cache-Control': `public, ${lifetime}`, Vary: 'Accept-Encoding' }
  if (isNamed(request, 'If-None-Match', tag, false))
    return { status: 304, headerBlock: headerBlockOf({ ...fields, ...caching }), body: null }
  const headers = {
    'Content-Security-Policy': "default-src 'none'; sandbox",
    ...fields,
    'Content-Type': type,
    ...caching,
    ...(coding === null ? {} : { 'Content-Encoding': coding }),
  }
  return pageResponse(headers, coding === null ? plain() : coded.get(coding)!)
}

/** Its first page. */
export const consolePath = '/console/'

const html = { 'text/html': { schema: { type: 'string' } } }

/** Paths at which a dialect's own users look for a page, and where in the console browsers are sent from there. */
const pagesOfDialects: Readonly<Record<string, { readonly path: string; readonly to: string }>> = {
  minstore: { path: '/text', to: `${consolePath}c/${recordsCollection}` },
}

const chooseType = negotiation('application/json', ['text/html'])

/** Returns the routes of the console, and of the path of a dialect at the root that browsers know. */
export function consoleRoutes(dialect: string | null): readonly Route[] {
  const page = pagesOfDialects[dialect ?? '']
  if (page === undefined) return pageRoutes
  const redirect: Route = {
    method: 'GET',
    path: page.path,
    summary: 'Sends a browser to the console',
    tag: serverTag,
    access: 'open',
    isPage: true,
    docs: {
      responses: { 307: { description: 'For who accepts HTML: the page' } },
      problems: ['not_found'],
    },
    handle(request) {
      if (chooseType(request.header('accept')) === 'text/html')
        return responseOf(307, { Location: page.to, Vary: 'Accept' })
      throw new KvistError('not_found', `${page.path} is a page for browsers alone`)
    },
  }
  return [...pageRoutes, redirect]
}

/** Open without a token: the page reveals nothing that is stored, and a browser could not send one. */
const pageRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/console',
    summary: 'The console: a page to see and change what is stored',
    tag: serverTag,
    access: 'open',
    isPage: true,
    docs: { responses: { 200: { description: 'The page', content: html } } },
    handle: sendPage,
  },
  {
    method: 'GET',
    path: '/console/*',
    summary: 'The console at an address of its own, and its files',
    tag: serverTag,
    access: 'open',
    isPage: true,
    honours: ['if-none-match'],
    docs: {
      responses: {
        200: { description: 'The page, or the file' },
        304: { description: 'As If-None-Match has it' },
      },
      problems: ['not_found'],
    },
    async handle(request) {
      const path = request.parameter('*') ?? ''
      const file = path === pagePath ? undefined : (await filesOfConsole()).get(path)
      if (file !== undefined) return sendFile(request, path, file)
      if (isHashed(path)) throw new KvistError('not_found', 'the console has no such file')
      return sendPage()
    },
  },
]
