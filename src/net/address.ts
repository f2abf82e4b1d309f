/**
 * Returns the part of an address that stands for one client: an IPv4 address, also where IPv6 maps it, or the first 64
 * bits of an IPv6 address, as a site has all addresses that begin with them.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(':')) return address
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? []
  return mapped ?? `${firstGroups(address).join(':')}::/64`
}

/** Returns the first four groups of an IPv6 address, in the form in which each has one text. */
function firstGroups(address: string): string[] {
  const [head = '', tail] = address.replace(/%.*$/, '').toLowerCase().split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  // The last 32 bits may be written as an IPv4 address: two groups in one.
  const written = before.length + after.length + (address.includes('.') ? 1 : 0)
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - written)
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''))
}

/** Whether an address is of this machine. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./i.test(address)
}
