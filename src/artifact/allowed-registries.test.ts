import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError } from "../base/index.ts";
import { parseReference } from "../oci/index.ts";
import { checkAllowed } from "./allowed-registries.ts";

const digest = `sha256:${"0".repeat(64)}`;

const rows: { reference: string; globs: string[]; allowed: boolean }[] = [
  { reference: "ghcr.io/org/app:v1", globs: [], allowed: true },
  { reference: "ghcr.io/org/app:v1", globs: ["**"], allowed: true },
  { reference: "ghcr.io/org/app:v1", globs: ["ghcr.io/org/app"], allowed: true },
  { reference: "GHCR.io/org/app:v1", globs: ["quay.io/**", "ghcr.io/org/*"], allowed: true },
  { reference: `ghcr.io/org/app:v1@${digest}`, globs: ["ghcr.io/org/*"], allowed: true },
  { reference: "ghcr.io/org/sub/app", globs: ["ghcr.io/org/*"], allowed: false },
  { reference: "ghcr.io/org/sub/app", globs: ["ghcr.io/org/**"], allowed: true },
  { reference: "ghcr.io/organisation/app", globs: ["ghcr.io/org/**"], allowed: false },
  { reference: "ghcr.io.example.org/org/app", globs: ["ghcr.io/**"], allowed: false },
  { reference: "ghcr.io:444/org/app", globs: ["ghcr.io/**"], allowed: false },
  { reference: "a.example.org/app", globs: ["*.example.org/**"], allowed: true },
  { reference: "evil.com/example.org/app", globs: ["*.example.org/**", "example.org/**"], allowed: false },
  { reference: "alpine", globs: ["docker.io/library/*"], allowed: true },
  { reference: "index.docker.io/org/app", globs: ["docker.io/library/*"], allowed: false },
  { reference: "[::1]:5000/app", globs: ["[::1]:5000/*"], allowed: true },
];

for (const { reference, globs, allowed } of rows) {
  test(`${reference} is ${allowed ? "" : "not "}allowed by ${JSON.stringify(globs)}`, () => {
    const check = () => checkAllowed(parseReference(reference), globs);
    if (allowed) return check();
    assert.throws(check, (error) => {
      assert.ok(error instanceof DriverError);
      assert.equal(error.kind, "forbidden");
      assert.match(error.message, /^cannot pull \S+:latest: the node's --allow-registry does not allow \S+; /);
      return true;
    });
  });
}
