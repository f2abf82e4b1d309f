import { KvistHttpError } from 'kvist-client'

/** What is wrong with what was typed into the search field, where the server says so: shown below it. */

class SearchFault {
  error: KvistHttpError | null = $state.raw(null)

  /** What is wrong, in the server's words. */
  get reason(): string {
    const reason = this.error?.problem?.reason
    return typeof reason === 'string' ? reason : (this.error?.detail ?? '')
  }

  /** Where in the filter; null where that is not known. */
  get position(): number | null {
    const position = this.error?.problem?.position
    return typeof position === 'number' ? position : null
  }
}

export const searchFault = new SearchFault()

export function isSearchFault(error: unknown): error is KvistHttpError {
  return error instanceof KvistHttpError && error.code === 'invalid_where'
}
