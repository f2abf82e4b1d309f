/** Goes wrong in the way that the value names. */
const troubles: Readonly<Record<string, (member: { value: string }) => unknown>> = {
  throw() {
    throw new Error('a secret of the server')
  },
  text() {
    throw 'a secret of the server'
  },
  reject: () => Promise.reject(new Error('a secret of the server')),
  nothing: () => undefined,
  number: (member) => ({ ...member, value: 7 }),
  broken: (member) => ({ ...member, value: '{"a":' }),
  half: (member) => ({ ...member, value: '"\ud800"' }),
  bytes: (member) => ({ ...member, value: new Uint8Array(1) }),
  time: (member) => ({ ...member, expiresAtMs: 'soon' }),
  uncloneable: (member) => ({ ...member, value: () => 1 }),
  large: (member) => ({ ...member, value: JSON.stringify('x'.repeat(17 * 1024 * 1024)) }),
  later(member) {
    setTimeout(() => {
      throw new Error('from a timer')
    })
    return member
  },
  unhandled(member) {
    void Promise.reject(new Error('from nobody'))
    return member
  },
  exit: () => process.exit(3),
  loop() {
    for (;;);
  },
  never: () => new Promise(() => {}),
  fine: (member) => member,
}

export default {
  name: 'trouble',
  run: (member: { value: string }) => troubles[JSON.parse(member.value)]?.(member) ?? member,
}
