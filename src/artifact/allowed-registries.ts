import { DriverError } from "../base/index.ts";
import { formatReference, type Reference } from "../oci/index.ts";
import { matchesGlob } from "./glob.ts";

/**
 * Throws "forbidden" for a reference whose `registry/repository` none of the globs matches; without globs all are
 * allowed. The names are those of the reference, whichever mirror would answer for them.
 */
export function checkAllowed({ registry, repository, ...rest }: Reference, globs: readonly string[]): void {
  const name = `${registry}/${repository}`;
  if (globs.length === 0 || globs.some((glob) => matchesGlob(glob, name))) return;
  const reference = formatReference({ registry, repository, ...rest });
  throw new DriverError(
    "forbidden",
    `cannot pull ${reference}: the node's --allow-registry does not allow ${name}; ask who runs the driver to add it`,
  );
}
