import {
  type Tool as ListedTool,
  ProtocolError,
  ProtocolErrorCode,
  Server,
} from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { z } from 'zod'
import manifest from '../../../package.json' with { type: 'json' }
import { complain, explain } from '../explain.ts'
import { AgentError, type Reach } from './reach.ts'
import { collectionsTool, findTool, getTool, listTool } from './read-tools.ts'
import { listResources, readResource, templates } from './resources.ts'
import { startSubscriptions } from './subscriptions.ts'
import type { Tool } from './tool.ts'
import { stdioTransport } from './transport.ts'
import { watchTool } from './watch-tool.ts'
import { deleteTool, putTool } from './write-tools.ts'

/** Every tool, in the order in which clients list them. */
const tools: Readonly<Record<string, Tool>> = {
  collections: collectionsTool,
  list: listTool,
  get: getTool,
  find: findTool,
  watch: watchTool,
  put: putTool,
  delete: deleteTool,
}

/** Serves on standard input and output until the client closes them. */
export async function serveMcp(reach: Reach): Promise<void> {
  let notify = (_uri: string) => {}
  const subscriptions = startSubscriptions(reach, (uri) => notify(uri))
  const { transport, closed } = stdioTransport(subscriptions)
  serveStdio(
    () => {
      const server = newServer(reach)
      // How revisions of the protocol before 2026-07-28 subscribe; transport.ts has the later ones.
      server.setRequestHandler('resources/subscribe', async ({ params: { uri } }) => {
        await subscriptions.add(uri, [uri])
        return {}
      })
      server.setRequestHandler('resources/unsubscribe', async ({ params: { uri } }) => {
        subscriptions.remove(uri)
        return {}
      })
      notify = (uri) => void server.sendResourceUpdated({ uri }).catch(() => {}) // the client is gone
      return server
    },
    { transport, onerror: (error) => complain(explain(error).line) },
  )
  await closed
  subscriptions.stop()
}

function newServer(reach: Reach): Server {
  const server = new Server(
    { name: 'kvist', title: 'kvist', version: manifest.version },
    { capabilities: { tools: {}, resources: { subscribe: true } }, instructions: instructionsFor(reach) },
  )
  server.setRequestHandler('tools/list', () => ({ tools: listedTools(reach) }))
  server.setRequestHandler('tools/call', ({ params }, { mcpReq }) =>
    callTool(reach, params.name, params.arguments ?? {}, mcpReq.signal),
  )
  server.setRequestHandler('resources/list', ({ params }, { mcpReq }) =>
    withReason(listResources(reach, params?.cursor, mcpReq.signal)),
  )
  server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates: templates }))
  server.setRequestHandler('resources/read', ({ params }, { mcpReq }) =>
    withReason(readResource(reach, params.uri, mcpReq.signal)),
  )
  return server
}

function instructionsFor({ collections, canWrite }: Reach): string {
  const shown = collections === null ? 'Collections' : `The collections ${collections.join(', ')}`
  return (
    `A key-value store. ${shown} hold members: a key with a value (JSON, text or bytes), a revision that grows with every change, and ` +
    `perhaps an expiry. ${canWrite ? 'Members can be read, stored and deleted.' : 'Members can be read, not changed.'}`
  )
}

function listedTools({ canWrite }: Reach): ListedTool[] {
  return Object.entries(tools)
    .filter(([, { writes }]) => canWrite || !writes)
    .map(([name, { title, description, input, writes }]) => ({
      name,
      title,
      description,
      inputSchema: z.toJSONSchema(input, { io: 'input' }) as ListedTool['inputSchema'],
      annotations: { readOnlyHint: !writes, destructiveHint: writes, openWorldHint: false },
    }))
}

/** Calls a tool. What goes wrong is a result, so that the agent reads it. */
async function callTool(reach: Reach, name: string, given: unknown, signal: AbortSignal) {
  const found = Object.hasOwn(tools, name) ? tools[name] : undefined
  if (found === undefined)
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `there is no tool ${name}`)
  try {
    if (found.writes && !reach.canWrite)
      throw new AgentError(`${name} is not allowed: kvist mcp only reads unless it is started with --write`)
    return { content: [{ type: 'text' as const, text: await found.call(reach, given, signal) }] }
  } catch (error) {
    return { isError: true, content: [{ type: 'text' as const, text: reasonOf(error) }] }
  }
}

/** Rejects with a protocol error that has the reason in one line. */
async function withReason<T>(result: Promise<T>): Promise<T> {
  try {
    return await result
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw new ProtocolError(ProtocolErrorCode.InternalError, reasonOf(error))
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof z.ZodError)) return explain(error).line
  const [issue] = error.issues
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
  return `${where}${issue?.message ?? 'the arguments are not valid'}`
}
