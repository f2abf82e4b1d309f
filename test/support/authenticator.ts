import { type Authenticator, authenticator } from '../../src/auth/authenticate.ts'
import { tokenRegistry } from '../../src/auth/tokens.ts'

/** The authenticator of a server with this token, or of an open one, that knows no other tokens. */
export function authenticatorOf(token: string | null): Authenticator {
  const tokens = tokenRegistry((error) => {
    throw error
  })
  return authenticator({ token, tokens, onUse() {} })
}
