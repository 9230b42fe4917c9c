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

/** The error as somebody should read it who called a command. */
export function inClientWords(error: unknown): unknown {
  if (!(error instanceof DriverError)) return error;
  const message = words.reduce((text, [inPods, here]) => text.replaceAll(inPods, here), error.message);
  return new DriverError(error.kind, message, error.cause);
}
