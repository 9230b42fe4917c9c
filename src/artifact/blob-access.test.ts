import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError, type ErrorKind } from "../base/index.ts";
import type { Credential } from "../registry/index.ts";
import { BlobAccess } from "./blob-access.ts";

const anonymous: Credential = { kind: "anonymous", source: "anonymous" };
const password = (source: string): Credential => ({
  kind: "password",
  username: "u",
  password: "p",
  source,
  owner: "pod",
});
const credentials = [password("pod"), password("node"), anonymous];

/** A registry that answers each source with a kind of failure, or lets it in. */
function registry(answers: Readonly<Record<string, ErrorKind>>) {
  const asked: string[] = [];
  const request = ({ source }: Credential) => {
    asked.push(source);
    const kind = answers[source];
    return kind === undefined ? Promise.resolve() : Promise.reject(new DriverError(kind, `${source} was refused`));
  };
  return { asked, request };
}

test("each credential is tried in order until one is let in, which is the first from then on", async () => {
  const access = new BlobAccess(credentials);
  const { asked, request } = registry({ pod: "unauthenticated", node: "not-found" });
  await access.withCredential(request);
  await access.withCredential(request);
  assert.deepEqual(asked, ["pod", "node", "anonymous", "anonymous"]);
});

test("if none is let in, the first refusal is told", async () => {
  const { asked, request } = registry({ pod: "forbidden", node: "unauthenticated", anonymous: "not-found" });
  await assert.rejects(new BlobAccess(credentials).withCredential(request), { kind: "forbidden", message: /^pod/ });
  assert.deepEqual(asked, ["pod", "node", "anonymous"]);
});

test("one that was let in and is refused later makes way for the others", async () => {
  const access = new BlobAccess(credentials);
  await access.withCredential(registry({ pod: "unauthenticated" }).request);
  const { asked, request } = registry({ node: "unauthenticated" });
  await access.withCredential(request);
  assert.deepEqual(asked, ["node", "pod"]);
});

for (const kind of ["unavailable", "corrupt", "cancelled", "no-space"] as const) {
  test(`${kind} is no refusal`, async () => {
    const { asked, request } = registry({ pod: kind });
    await assert.rejects(new BlobAccess(credentials).withCredential(request), { kind });
    assert.deepEqual(asked, ["pod"]);
  });
}
