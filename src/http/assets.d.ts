/** Files embedded in the program: the import is a path, in a checkout as in an executable. */
declare module 'swagger-ui-dist/swagger-ui-bundle.js' {
  const path: string
  export default path
}
declare module 'swagger-ui-dist/swagger-ui.css' {
  const path: string
  export default path
}
declare module '*/docs-page/start.js' {
  const path: string
  export default path
}
declare module '*/docs-page/style.css' {
  const path: string
  export default path
}
declare module '*/console.pack' {
  const path: string
  export default path
}
