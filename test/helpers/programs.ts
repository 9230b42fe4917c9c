import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A folder of scripts that stand for the programs of a node's administrator. */
export class Programs {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Writes a shell script. Each of its runs is noted, and what came on stdin is in `$input`. */
  write(name: string, body: string): void {
    const path = join(this.folder, name);
    const note = `printf '%s\\n' "$* <$input>" >> ${path}.runs`;
    writeFileSync(path, `#!/bin/sh\ninput=$(cat)\n${note}\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** The runs of a script so far: `arguments <stdin>`, one text each. */
  runs(name: string): string[] {
    const path = `${join(this.folder, name)}.runs`;
    if (!existsSync(path)) appendFileSync(path, "");
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }
}

/** A body that answers as a docker credential helper does. */
export function helperAnswer(username: string, secret: string): string {
  return `echo '${JSON.stringify({ ServerURL: "x", Username: username, Secret: secret })}'`;
}

/** A body that answers as a credential provider of kubelet does; `more` changes the answer. */
export function providerAnswer(
  auth: Record<string, { username: string; password: string }>,
  more: object = {},
): string {
  const answer = {
    apiVersion: "credentialprovider.kubelet.k8s.io/v1",
    kind: "CredentialProviderResponse",
    cacheKeyType: "Image",
    auth,
    ...more,
  };
  return `echo '${JSON.stringify(answer)}'`;
}
