import { expect } from 'bun:test'

/** Requires that a server serves the console and the page of the API, with all files that they name. */
export async function expectPages(url: string): Promise<void> {
  for (const path of ['/console/', '/docs']) await expectPage(url, path)
}

async function expectPage(url: string, pagePath: string): Promise<void> {
  const response = await fetch(url + pagePath)
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  const paths = [...(await response.text()).matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path!)
  expect(paths.length).toBeGreaterThanOrEqual(3)
  for (const path of paths) {
    const file = await fetch(url + path)
    expect([path, file.status]).toEqual([path, 200])
    expect(file.headers.get('content-type')).toMatch(/javascript|css|svg/)
    expect((await file.bytes()).length).toBeGreaterThan(100)
  }
}
