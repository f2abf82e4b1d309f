import { createConfig, lintFromString } from '@redocly/openapi-core'

/**
 * What a public linter (Redocly's, its recommended rules) finds wrong with an OpenAPI document, warnings included: a
 * line each. Two rules are as strict as they can be, two are off.
 */
export async function lintOpenApi(document: unknown): Promise<string[]> {
  const config = await createConfig({
    extends: ['recommended'],
    rules: {
      // An object may have more members than its schema names, as JSON Schema has it.
      'no-invalid-media-type-examples': { severity: 'error', allowAdditionalProperties: true },
      'no-invalid-schema-examples': { severity: 'error', allowAdditionalProperties: true },
      // Health cannot be asked wrongly.
      'operation-4xx-response': 'off',
      // Some paths only lead on to others.
      'operation-2xx-response': 'off',
    },
  })
  const found = await lintFromString({
    source: JSON.stringify(document),
    absoluteRef: '/openapi.json',
    config,
  })
  return found.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer ?? ''}: ${message}`)
}
