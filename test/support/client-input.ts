import { expect } from 'bun:test'
import { Kvist, KvistInputError } from '../../sdk/client.ts'

/** A client whose requests would be seen: what is wrong with a call must be an error before one is made. */

const requests: string[] = []

export const unsentKvist = new Kvist('http://kvist.invalid', {
  fetch(url, { method }) {
    requests.push(`${method} ${url}`)
    return Promise.reject(new Error('nothing should have been sent'))
  },
})

/** As JavaScript sees an object: its methods take anything. */
type Untyped<T> = { readonly [Name in keyof T]: (...given: unknown[]) => unknown }

export function untyped<T extends object>(object: T): Untyped<T> {
  return object as unknown as Untyped<T>
}

/** The call throws, or rejects, without a request. */
export async function expectInputError(name: string, call: () => unknown, message: RegExp): Promise<void> {
  const error = await errorOf(call)
  expect([name, error]).toEqual([name, expect.any(KvistInputError)])
  expect([name, error instanceof KvistInputError && error.message]).toEqual([
    name,
    expect.stringMatching(message),
  ])
  expect([name, requests.splice(0)]).toEqual([name, []])
}

/** Whether thrown or rejected. */
async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    const result = await call()
    return `no error, but ${result}`
  } catch (error) {
    return error
  }
}
