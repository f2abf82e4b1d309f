import { KvistError } from '../../core/errors.ts'
import { parseCollection } from '../../core/keys.ts'
import { maxQueryBytes } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import { parsedJson, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asObject, type JsonFields, refuseOthers } from './fields.ts'
import { type FindGiven, findMembers, findParameters } from './find.ts'

/** `POST /v1/_query`: a list by what is in the values, for queries that are too long for a URL. It changes nothing. */
export async function queryMembers(
  db: Store,
  request: HttpRequest,
  type: string,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const body = asObject(parsedJson(await readBody(request, maxQueryBytes, context)), 'the query')
  refuseOthers(body, known, 'the query')
  const { collection } = body
  if (typeof collection !== 'string') {
    throw new KvistError('invalid_collection', 'the query has no "collection"')
  }
  return findMembers(db, request, parseCollection(collection), type, givenOf(body), context)
}

const known: ReadonlySet<string> = new Set(['collection', ...findParameters])

/** Returns the fields of a query as the text of the parameters of a list; null is as good as left out. */
function givenOf(body: JsonFields): FindGiven {
  const given: { -readonly [N in keyof FindGiven]: FindGiven[N] } = {}
  for (const name of findParameters) {
    const field = body[name]
    if (field !== undefined && field !== null) given[name] = forms[formOf(name)](field, name)
  }
  return given
}

type Form = 'text' | 'texts' | 'number' | 'flag'

function formOf(name: keyof FindGiven): Form {
  if (name === 'order' || name === 'fields') return 'texts'
  if (name === 'limit') return 'number'
  return name === 'count' || name === 'explain' ? 'flag' : 'text'
}

const forms: Readonly<Record<Form, (field: unknown, name: string) => string>> = {
  text(field, name) {
    if (typeof field === 'string') return field
    throw new KvistError('invalid_request', `"${name}" is not text`)
  },
  texts(field, name) {
    if (typeof field === 'string') return field
    const isList = Array.isArray(field) && field.length > 0 && field.every((one) => typeof one === 'string')
    if (isList) return field.join(',')
    throw new KvistError('invalid_request', `"${name}" is neither text nor a list of texts`)
  },
  number(field, name) {
    if (typeof field === 'number') return String(field)
    throw new KvistError('invalid_request', `"${name}" is not a number`)
  },
  flag(field, name) {
    if (typeof field === 'boolean') return String(field)
    throw new KvistError('invalid_request', `"${name}" is neither true nor false`)
  },
}
