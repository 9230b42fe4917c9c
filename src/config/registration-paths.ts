import { posix } from "node:path";
import { SOCKET_PATH_BYTES } from "./parsers.ts";
import type { ServeValues } from "./serve-options.ts";
import { quoted, UsageError } from "./usage-error.ts";

/** Where kubelet finds the driver. */
export interface RegistrationPaths {
  /** The socket that registration is served from; undefined: it is not served. */
  readonly registrationSocket: string | undefined;
  /** The CSI socket as kubelet sees it. */
  readonly kubeletRegistrationPath: string;
}

/** The paths that flags about kubelet mean together; throws a `UsageError` for what is too long for a socket. */
export function registrationPaths(
  { registrationDir, kubeletRegistrationPath, driverName }: ServeValues,
  { kubeletDir, cwd }: { readonly kubeletDir: string; readonly cwd: string },
): RegistrationPaths {
  const csiSocket = kubeletRegistrationPath ?? posix.join(kubeletDir, "plugins", driverName, "csi.sock");
  if (registrationDir === undefined) return { registrationSocket: undefined, kubeletRegistrationPath: csiSocket };
  // Any name would do for kubelet; this one is what registrar sidecars use.
  const registrationSocket = posix.resolve(cwd, registrationDir, `${driverName}-reg.sock`);
  requireSocketPath(registrationSocket, "the registration socket", "set a shorter --registration-dir");
  requireSocketPath(csiSocket, "the CSI socket as kubelet sees it", "set --kubelet-registration-path");
  return { registrationSocket, kubeletRegistrationPath: csiSocket };
}

function requireSocketPath(path: string, what: string, advice: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES) return;
  throw new UsageError(
    `${what}, ${quoted(path)}, has ${bytes} bytes, and a unix socket's path may have ${SOCKET_PATH_BYTES}: ${advice}`,
  );
}
