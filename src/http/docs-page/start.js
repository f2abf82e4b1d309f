/* global SwaggerUIBundle */
const dark = matchMedia('(prefers-color-scheme: dark)')

function follow() {
  document.documentElement.classList.toggle('dark-mode', dark.matches)
}

follow()
dark.addEventListener('change', follow)

// No validator: that would send the document's address to a server elsewhere.
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
})
