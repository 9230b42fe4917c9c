import { constants } from "node:os";
import type { Semaphore } from "./semaphore.ts";

/** The FFI library, handed in: this module loads nothing, so that workers can import its folder. */
export type Koffi = typeof import("koffi");

/** A loaded C library, whose functions can be declared. */
export type Library = ReturnType<Koffi["load"]>;

/** A failed system call: `code` is errno's name (`EBUSY`), `errno` its number, `syscall` the call that failed. */
export interface SystemCallError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

type NativeFunction = ReturnType<Library["func"]>;

/** A C function under the name that errors show. */
export interface NativeCall {
  readonly name: string;
  readonly run: NativeFunction;
}

/** The two ways to call: both read errno first thing after the call, because anything else may overwrite it. */
export function createCallers(koffi: Koffi, library: Library) {
  const strerror = library.func("const char *strerror(int number)");
  const nameOf = errnoNames(koffi);
  const fail = (name: string, errno: number) => systemCallError(name, errno, nameOf(errno), String(strerror(errno)));
  // koffi keeps the addresses of the buffers it is given, not the buffers.
  const inFlight = new Set<readonly unknown[]>();
  return {
    callSync({ name, run }: NativeCall, args: readonly unknown[]): number {
      const result = Number(run(...args));
      if (result === -1) throw fail(name, koffi.errno());
      return result;
    },
    async callAsync(gate: Semaphore, { name, run }: NativeCall, args: readonly unknown[]): Promise<number> {
      const release = await gate.acquire();
      inFlight.add(args);
      try {
        return await new Promise<number>((resolve, reject) => {
          run.async(...args, (failure: unknown, result: unknown) => {
            const errno = koffi.errno();
            if (failure) reject(failure);
            else if (Number(result) === -1) reject(fail(name, errno));
            else resolve(Number(result));
          });
        });
      } finally {
        inFlight.delete(args);
        release();
      }
    },
  };
}

/** The text as C wants it. C would silently stop at a NUL inside: that is an EINVAL here. */
export function cString(text: string | Uint8Array, syscall: string): Buffer {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  if (bytes.includes(0))
    throw systemCallError(syscall, constants.errno.EINVAL, "EINVAL", "argument with a NUL byte in it");
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}

function systemCallError(syscall: string, errno: number, code: string, reason: string): SystemCallError {
  return Object.assign(new Error(`${syscall}: ${reason} (${code})`), { code, errno, syscall });
}

/** The names of errno's values: Node's, and koffi's for what Node has none for (EUCLEAN, say). */
function errnoNames(koffi: Koffi): (errno: number) => string {
  const names = new Map<number, string>();
  for (const table of [constants.errno, koffi.os.errno]) {
    for (const [name, errno] of Object.entries(table)) if (!names.has(errno)) names.set(errno, name);
  }
  return (errno) => names.get(errno) ?? `E${errno}`;
}
