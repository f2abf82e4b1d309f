import { isIPv6 } from 'node:net'

/** A host with an optional port, in the Host field or an absolute target (RFC 9110, 7.2; RFC 3986, 3.2.2). */
const hostForm = /^(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::(\d{0,5}))?$/
const maxPort = 65_535

/** The last valid host: clients use few names for a server. */
let lastValid = ''

/** Whether the text is a host with an optional port. The empty text is one, for targets without an authority. */
export function isHost(text: string): boolean {
  if (text === lastValid) return true
  const match = hostForm.exec(text)
  if (match === null) return false
  const [, address, port = ''] = match
  if ((address !== undefined && !isIPv6(address)) || Number(port) > maxPort) return false
  lastValid = text
  return true
}
