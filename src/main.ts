import { runProgram } from './cli/commands.ts'

process.exitCode = await runProgram(process.argv.slice(2))
