/**
 * The system gives connections ports from 32768 up (49152 on some), and so may give one of them the port of a server that is
 * stopped for a moment, or about to start. Test files run at once, each process with ports of its own.
 */
const first = 10_240
const portsOfProcess = 352
const processes = 64

const own = first + (process.pid % processes) * portsOfProcess
let taken = Math.floor(Math.random() * portsOfProcess)

/** Returns a port on which nothing listens, for a server that may be started there again and again. */
export function freePort(): number {
  for (let tries = 0; tries < portsOfProcess; tries++) {
    const port = own + (taken++ % portsOfProcess)
    if (isFree(port)) return port
  }
  throw new Error(`ports ${own} to ${own + portsOfProcess - 1} are all in use`)
}

export function freePorts(count: number): number[] {
  return Array.from({ length: count }, freePort)
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } }).stop(true)
    return true
  } catch {
    return false
  }
}
