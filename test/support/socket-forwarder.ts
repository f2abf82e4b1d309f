import { connect, createServer } from 'node:net'

/** Listens at a socket in the file system, which all network namespaces see, and passes everything on to a port of this one. */
const [socket = '', host = '', port = ''] = process.argv.slice(2)
const server = createServer((client) => {
  const target = connect(Number(port), host)
  client.pipe(target).pipe(client)
  for (const one of [client, target]) {
    one.on('error', () => {
      client.destroy()
      target.destroy()
    })
  }
})
server.listen(socket, () => console.log('listening'))
