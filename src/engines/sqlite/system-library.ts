import { dlopen, type FFIFunction } from 'bun:ffi'

/** File names of the C library: glibc, musl, macOS. */
const names = ['libc.so.6', `libc.musl-${process.arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`, 'libc.dylib']

/** Opens functions of the system's C library; null where no library above has all of them. */
export function systemLibrary<Fns extends Record<string, FFIFunction>>(functions: Fns) {
  for (const name of names) {
    try {
      return dlopen(name, functions).symbols
    } catch {
      // Not this system's library, or a function is missing.
    }
  }
  return null
}
