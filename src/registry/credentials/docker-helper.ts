import type { Clock } from "../../base/index.ts";
import { isJsonObject } from "../../oci/index.ts";
import type { Credential } from "../credential.ts";
import { ProgramFault, runProgram } from "./run-program.ts";

/** A credential helper that a docker config names, and whom it is asked about. */
export interface DockerHelper {
  /** `docker-credential-<name>` is the program. */
  readonly name: string;
  /** The registry as docker calls it. */
  readonly server: string;
}

/** What `docker-credential-<name>` is called in messages. */
export function helperSource({ name }: DockerHelper): string {
  return `--docker-config's helper docker-credential-${name}`;
}

/**
 * Asks a helper (docker-credential-helpers, "get": the server on stdin, JSON on stdout). Undefined where it has nothing
 * for this registry. Rejects with a `ProgramFault`, which quotes nothing that it said.
 */
export async function askDockerHelper(helper: DockerHelper, clock: Clock): Promise<Credential | undefined> {
  const { name, server } = helper;
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw new ProgramFault("has a name that no program has");
  const file = `docker-credential-${name}`;
  const { code, stdout } = await runProgram({ file, args: ["get"], stdin: `${server}\n`, clock });
  // The one thing that helpers say on stdout when they fail, and it is no failure.
  if (code !== 0 && /credentials not found/i.test(stdout)) return undefined;
  if (code !== 0) throw new ProgramFault(`ended with code ${code}`);
  const { Username: username = "", Secret: secret = "" } = parseAnswer(stdout);
  if (typeof username !== "string" || typeof secret !== "string")
    throw new ProgramFault("did not answer as helpers do");
  if (username === "" && secret === "") return undefined;
  const whose = { source: helperSource(helper), owner: "node" } as const;
  if (username === "<token>") return { kind: "identity-token", token: secret, ...whose };
  return { kind: "password", username, password: secret, ...whose };
}

function parseAnswer(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // JSON.parse's own message quotes what it stumbled over.
    throw new ProgramFault("did not answer in JSON");
  }
  if (!isJsonObject(value)) throw new ProgramFault("did not answer as helpers do");
  return value;
}
