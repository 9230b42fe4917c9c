import { DriverError } from "../../base/index.ts";
import type { Credential } from "../credential.ts";
import type { GuestCredential } from "../hosts/registry-host.ts";
import { parseDockerConfig } from "./docker-config.ts";

const source = "the pod's secret";

/**
 * What a nodePublishSecretRef offers for a repository: the matching entries of `.dockerconfigjson` and `.dockercfg`,
 * then `username` with `password`. Other keys are left alone. Throws "bad-input" that names the key.
 */
export function credentialsFromSecrets(
  secrets: Readonly<Record<string, string>>,
  registry: string,
  repository: string,
): Credential[] {
  const credentials: Credential[] = [];
  for (const key of [".dockerconfigjson", ".dockercfg"]) {
    const text = secrets[key];
    if (text === undefined) continue;
    // The key goes into errors, the plain source into what was tried.
    const found = parseDockerConfig(text, `${source}, key ${key},`, "pod").credentialFor(registry, repository);
    if (found !== undefined) credentials.push({ ...found, source });
  }
  const pair = passwordFrom(secrets);
  if (pair !== undefined) credentials.push(pair);
  return credentials;
}

/** What a nodePublishSecretRef's docker configs offer other hosts than the registry. Throws "bad-input". */
export function guestsFromSecrets(secrets: Readonly<Record<string, string>>): GuestCredential[] {
  return [".dockerconfigjson", ".dockercfg"].flatMap((key) => {
    const text = secrets[key];
    return text === undefined ? [] : parseDockerConfig(text, source, "pod").logins();
  });
}

function passwordFrom({ username, password }: Readonly<Record<string, string>>): Credential | undefined {
  if (username === undefined && password === undefined) return undefined;
  if (username === undefined || username === "")
    throw new DriverError("bad-input", `${source} has a password but no username`);
  if (password === undefined) throw new DriverError("bad-input", `${source} has a username but no password`);
  return { kind: "password", username, password, source, owner: "pod" };
}
