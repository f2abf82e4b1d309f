import { createConfig, lintFromString } from '@redocly/openapi-core'

/**
 * What a public linter (Redocly's, its recommended rules) finds wrong with an OpenAPI document, warnings included: a
 * line each. Two rules are as strict as they can be, one is off.
 */
export async function lintOpenApi(document: unknown): Promise<string[]> {
  const config = await createConfig({
    extends: ['recommended'],
    rules: {
      'no-invalid-media-type-examples': 'error',
      'no-invalid-schema-examples': 'error',
      // Health cannot be asked wrongly.
      'operation-4xx-response': 'off',
    },
  })
  const found = await lintFromString({
    source: JSON.stringify(document),
    absoluteRef: '/openapi.json',
    config,
  })
  return found.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer ?? ''}: ${message}`)
}
