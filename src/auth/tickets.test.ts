import { describe, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { maxTickets, maxTicketsOfOne, ticketMs } from '../core/limits.ts'
import { everythingPermitted } from '../core/permits.ts'
import type { Principal } from './principal.ts'
import { tickets } from './tickets.ts'

const nowMs = 1_000_000

function principalOf(name: string, expiresAtMs: number | null = null): Principal {
  const permits = everythingPermitted
  return { id: name, name, isAuthenticated: true, grants: [], permits, expiresAtMs, rateLimit: null }
}

const app = principalOf('app')

describe('a ticket', () => {
  test('is for one request to its path, within a minute', () => {
    const { issue, redeem } = tickets()
    const { ticket, expiresAtMs } = issue(app, '/v1/users', nowMs)
    expect(expiresAtMs).toBe(nowMs + ticketMs)
    for (const path of ['/v1/users/', '/v1/user', '/v1/Users', '/v1/users?'])
      expect(redeem(ticket, path, nowMs)).toBeNull()
    expect(redeem(`${ticket}x`, '/v1/users', nowMs)).toBeNull()
    expect(redeem(ticket, '/v1/users', nowMs + ticketMs - 1)).toBe(app)
    expect(redeem(ticket, '/v1/users', nowMs)).toBeNull()
    const late = issue(app, '/v1/users', nowMs).ticket
    expect(redeem(late, '/v1/users', nowMs + ticketMs)).toBeNull()
  })

  test('is not valid after its token', () => {
    const { issue, redeem, revoke } = tickets()
    const short = principalOf('short', nowMs + 10)
    const [soon, late] = [issue(short, '/v1', nowMs).ticket, issue(short, '/v1', nowMs).ticket]
    expect(redeem(soon, '/v1', nowMs + 9)).toBe(short)
    expect(redeem(late, '/v1', nowMs + 10)).toBeNull()
    const [one, other] = [issue(app, '/v1', nowMs).ticket, issue(principalOf('other'), '/v1', nowMs).ticket]
    revoke(app)
    expect(redeem(one, '/v1', nowMs)).toBeNull()
    expect(redeem(other, '/v1', nowMs)?.name).toBe('other')
  })

  test('of before the clock was set back does not stay for ever', () => {
    const { issue, redeem } = tickets()
    const early = issue(app, '/v1', nowMs).ticket
    expect(redeem(early, '/v1', nowMs - 10 * ticketMs)).toBeNull()
    expect(redeem(early, '/v1', nowMs)).toBeNull()
  })
})

describe('tickets that wait to be used', () => {
  const limitOf = async (work: () => unknown) => {
    const { code, extra } = await faultOf(Promise.try(work))
    return [code, extra.limit]
  }

  test('are bounded for each token, so that it uses up none of others', async () => {
    const { issue, redeem, revoke } = tickets()
    const own = Array.from({ length: maxTicketsOfOne }, () => issue(app, '/v1', nowMs).ticket)
    expect(await limitOf(() => issue(app, '/v1', nowMs))).toEqual(['busy', maxTicketsOfOne])
    issue(principalOf('other'), '/v1', nowMs)
    redeem(own[5]!, '/v1', nowMs)
    issue(app, '/v1', nowMs)
    expect(await limitOf(() => issue(app, '/v1', nowMs))).toEqual(['busy', maxTicketsOfOne])
    revoke(app)
    for (let i = 0; i < maxTicketsOfOne; i++) issue(app, '/v1', nowMs)
    expect(await limitOf(() => issue(app, '/v1', nowMs))).toEqual(['busy', maxTicketsOfOne])
    issue(app, '/v1', nowMs + ticketMs)
  })

  test('are bounded for all', async () => {
    const many = tickets()
    const principals = Array.from({ length: 10 }, (_, i) => principalOf(`${i}`))
    for (let i = 0; i < maxTickets; i++) many.issue(principals[i % 10]!, '/v1', nowMs)
    expect(await limitOf(() => many.issue(app, '/v1', nowMs))).toEqual(['busy', maxTickets])
    many.issue(app, '/v1', nowMs + ticketMs)
  })
})
