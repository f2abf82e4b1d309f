/** The rules of tidy.ts that need more than a line: the syntax tree of a file, or several files together. */
import { posix } from 'node:path'
import { parseSync } from 'oxc-parser'

/** A file of the program, parsed once for all rules. */
export interface Module {
  readonly path: string
  readonly functions: readonly FunctionSpan[]
  /** Files of this repository that it imports or starts as a Worker, types included, as paths from the root. */
  readonly imports: readonly Import[]
  readonly exportedTypes: readonly { readonly name: string; readonly line: number }[]
}

interface FunctionSpan {
  readonly name: string
  readonly line: number
  readonly lines: number
}

interface Import {
  readonly path: string
  readonly line: number
}

export interface CodeFinding {
  readonly path: string
  readonly line: number
  readonly what: string
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly id?: unknown
  readonly key?: unknown
  readonly name?: unknown
  readonly body?: unknown
  readonly declaration?: unknown
}

export function parseModule(path: string, text: string): Module {
  const lineAt = lineCounter(text)
  const functions: FunctionSpan[] = []
  const exportedTypes: { name: string; line: number }[] = []
  for (const { node, name } of nodesOf(parse(path, text))) {
    if (isFunction(node)) {
      const line = lineAt(node.start)
      functions.push({ name, line, lines: lineAt(node.end) - line + 1 })
    }
    const type = exportedTypeOf(node)
    if (type !== null) exportedTypes.push({ name: nameOf(type), line: lineAt(type.start) })
  }
  return { path, functions, imports: importsOf(path, text), exportedTypes }
}

/** Returns every identifier in a file, declared or used, with its line. */
export function namesIn(path: string, text: string): { readonly name: string; readonly line: number }[] {
  const lineAt = lineCounter(text)
  return [...nodesOf(parse(path, text))]
    .filter(({ node }) => node.type === 'Identifier' || node.type === 'PrivateIdentifier')
    .toSorted((a, b) => a.node.start - b.node.start)
    .map(({ node }) => ({ name: String(node.name), line: lineAt(node.start) }))
}

const titleForm =
  /\b(?:test|describe|storeTest|phaseTest)(?:\.\w+)*(?:\((?:[^()]|\([^()]*\))*\))?\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g

/** Returns the titles of tests and of their groups, with their lines. */
export function titlesIn(text: string): { readonly name: string; readonly line: number }[] {
  const lineAt = lineCounter(text)
  return [...text.matchAll(titleForm)].map((match) => ({
    name: match[2]!,
    line: lineAt(match.index + match[0].lastIndexOf(match[2]!)),
  }))
}

function parse(path: string, text: string): Node {
  const { program, errors } = parseSync(path, text)
  const [error] = errors
  if (error !== undefined) throw new Error(`${path}: ${error.message}`)
  return program as unknown as Node
}

/** Finds functions of more than `maxLines`, except those listed as `path:name`. */
export function longFunctions(
  modules: readonly Module[],
  maxLines: number,
  exceptions: Readonly<Record<string, string>>,
): CodeFinding[] {
  const found = modules.flatMap(({ path, functions }) =>
    functions.filter(({ lines }) => lines > maxLines).map((long) => ({ path, ...long })),
  )
  const unneeded = Object.keys(exceptions).filter(
    (exception) => !found.some(({ path, name }) => `${path}:${name}` === exception),
  )
  return [
    ...found
      .filter(({ path, name }) => exceptions[`${path}:${name}`] === undefined)
      .map(({ path, name, line, lines }) => ({
        path,
        line,
        what: `${name} has ${lines} lines; split it by ${maxLines}`,
      })),
    ...unneeded.map((exception) => ({
      path: 'scripts/tidy.ts',
      line: 1,
      what: `the exception ${exception} is not needed any more`,
    })),
  ]
}

/** Finds each cycle of imports once, at the import that closes it. */
export function importCycles(modules: readonly Module[]): CodeFinding[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const found: CodeFinding[] = []
  const done = new Set<string>()
  const stack: string[] = []

  function visit(module: Module): void {
    stack.push(module.path)
    for (const { path, line } of module.imports) {
      const target = byPath.get(path)
      if (target === undefined || done.has(path)) continue
      const start = stack.indexOf(path)
      if (start === -1) visit(target)
      else {
        const cycle = [...stack.slice(start), path].map((name) => posix.relative('src', name))
        found.push({ path: module.path, line, what: cycle.join(' → ') })
      }
    }
    stack.pop()
    done.add(module.path)
  }

  for (const module of modules) if (!done.has(module.path)) visit(module)
  return found
}

/** Finds exported types that share a name. */
export function sharedTypeNames(modules: readonly Module[]): CodeFinding[] {
  const first = new Map<string, string>()
  return modules.flatMap(({ path, exportedTypes }) =>
    exportedTypes.flatMap(({ name, line }) => {
      const known = first.get(name)
      if (known === undefined) first.set(name, path)
      return known === undefined ? [] : [{ path, line, what: `${known} exports a type ${name} too` }]
    }),
  )
}

/** Returns the type that a statement declares and exports; null for re-exports, which declare no type. */
function exportedTypeOf({ type, declaration }: Node): Node | null {
  if (type !== 'ExportNamedDeclaration' || !isNode(declaration)) return null
  return typeDeclaration.test(declaration.type) ? declaration : null
}

const typeDeclaration = /^(TSInterface|TSTypeAlias|TSEnum|Class)Declaration$/

function isFunction({ type, body }: Node): boolean {
  const isDeclared = type === 'FunctionDeclaration' || type === 'FunctionExpression'
  return (isDeclared && body !== null) || type === 'ArrowFunctionExpression'
}

/** Yields all nodes, each with its own name or that of its parent. */
function* nodesOf(root: Node): Generator<{ node: Node; name: string }> {
  const open: { node: Node; name: string }[] = [{ node: root, name: 'module' }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node } = next
    const name = nameOf(node) || next.name
    yield { node, name }
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value])
        if (isNode(child)) open.push({ node: child, name })
    }
  }
}

function nameOf(node: Node): string {
  const { id, key } = node
  const named = id ?? key
  return isNode(named) && typeof named.name === 'string' ? named.name : ''
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

/** Returns the files that a file refers to by relative paths: imports of every kind, and Workers that it starts. */
export function importsOf(path: string, text: string): Import[] {
  const patterns = [
    /^\s*(?:import|export)\b(?:[^'"`]*?\bfrom)?\s*'(\.[^']*)'/gm,
    /\bimport\(\s*'(\.[^']*)'/g,
    /\bnew URL\(\s*'(\.[^']*)',\s*import\.meta\.url/g,
  ]
  const lineAt = lineCounter(text)
  return patterns
    .flatMap((pattern) => [...text.matchAll(pattern)])
    .map((match) => ({
      path: posix.join(posix.dirname(path), match[1] ?? ''),
      line: lineAt(match.index + match[0].length),
    }))
}

function lineCounter(text: string): (offset: number) => number {
  return (offset) => text.slice(0, offset).split('\n').length
}
