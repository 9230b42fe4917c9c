import { DriverError } from "../base/index.ts";

/** What errors advise those who write pods and run nodes, and what that is on a command line. */
const words: readonly (readonly [inPods: string, onCommandLine: string])[] = [
  ['set oras.options.insecure: "true"', "use --insecure"],
  ['set oras.options.plainhttp: "true"', "use --plain-http"],
  ["drop oras.options.plainhttp", "drop --plain-http"],
  ["by nodePublishSecretRef or --docker-config", "by --registry-config, or -u and --password-stdin"],
  [" below the driver's data dir", ""],
  ["the node's disk", "the disk"],
  ["the driver tries again with the next call", "try again later"],
  ["check that this node can reach it", "check that this machine can reach it"],
  ["the node's DNS", "this machine's DNS"],
];

/** What is said of the cache, where the command has none. */
const cacheless: typeof words = [
  ["the file system of the driver's data dir has", "the folder's file system has"],
  [", and nothing more can be taken out of the cache", ""],
  ["the driver's data dir is", "the folder is"],
];

/** The error as somebody should read it who called a command that keeps a cache, or does not. */
export function inClientWords(error: unknown, has: "a cache" | "no cache" = "no cache"): unknown {
  if (!(error instanceof DriverError)) return error;
  const all = has === "a cache" ? words : [...words, ...cacheless];
  const message = all.reduce((text, [inPods, here]) => text.replaceAll(inPods, here), error.message);
  return new DriverError(error.kind, message, error.cause);
}
