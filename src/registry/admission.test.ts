import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeConfig, podSecret } from "../../test/registry-client/index.ts";
import { DriverError } from "../base/index.ts";
import { Admission, NotLetIn } from "./admission.ts";
import { anonymous, type Credential, type DeferredCredential, type UnveiledCredential } from "./credential.ts";
import { endpointOf } from "./endpoint.ts";
import { StatusError } from "./status-error.ts";

const endpoint = endpointOf({ registry: "r.example", repository: "org/app", transport: "https" });
const helper: DeferredCredential = { kind: "deferred", key: "h", source: "the helper", owner: "node" };
const login = (password: string): Credential => ({
  kind: "password",
  username: "h",
  password,
  source: "the helper",
  owner: "node",
});

function statusError(status: number): StatusError {
  const details = { status, role: "registry", host: "r.example", retryAfterMs: undefined, wantsTls: false } as const;
  return new StatusError(`${status}`, details);
}

/** A host that lets in some passwords, and what it was shown. */
function useHost(letsIn: readonly string[], { status = 401 } = {}) {
  const shown: string[] = [];
  const host = {
    letsIn,
    shown,
    request: (credential: Credential) => {
      const password = credential.kind === "password" ? credential.password : credential.kind;
      shown.push(password);
      return host.letsIn.includes(password) ? Promise.resolve(password) : Promise.reject(statusError(status));
    },
  };
  return host;
}

/** Answers of a helper, one after the other; the fresh ones are marked. */
function useHelper(...answers: Partial<UnveiledCredential>[]) {
  const asked: boolean[] = [];
  const unveil = (_: DeferredCredential, isFresh: boolean): Promise<UnveiledCredential> => {
    asked.push(isFresh);
    const none = { credentials: [], isReused: false, problem: undefined };
    return Promise.resolve({ ...none, ...answers.shift() });
  };
  return { admission: new Admission(unveil), asked };
}

const offers = [podSecret, helper, nodeConfig, anonymous];

for (const status of [401, 403, 404]) {
  test(`each is tried until one is let in: ${status} is a refusal`, async () => {
    const host = useHost(["q"], { status });
    const { admission } = useHelper({ credentials: [login("one"), login("two")] });
    assert.equal(await admission.enter(endpoint, offers, host.request), "q");
    assert.deepEqual(host.shown, ["p", "one", "two", "q"]);
  });
}

test("what was let in is shown first from then on, until it is refused", async () => {
  const host = useHost(["q"]);
  const { admission, asked } = useHelper();
  for (let i = 0; i < 3; i++) await admission.enter(endpoint, offers, host.request);
  assert.deepEqual(host.shown, ["p", "q", "q", "q"]);
  assert.equal(asked.length, 1);
  host.letsIn = ["p"];
  assert.equal(await admission.enter(endpoint, offers, host.request), "p");
  assert.deepEqual(host.shown.slice(4), ["q", "p"]);
});

test("other hosts are found out by themselves", async () => {
  const host = useHost(["q"]);
  const admission = new Admission();
  const other = endpointOf({ registry: "other.example", repository: "org/app", transport: "https" });
  await admission.enter(endpoint, offers, host.request);
  await admission.enter(other, [podSecret, anonymous], useHost(["p"]).request);
  await admission.enter(endpoint, offers, host.request);
  assert.deepEqual(host.shown, ["p", "q", "q"]);
});

test("a helper is not asked before its turn", async () => {
  const { admission, asked } = useHelper();
  await admission.enter(endpoint, offers, useHost(["p"]).request);
  assert.deepEqual(asked, []);
});

test("what was fetched earlier and is refused is fetched anew, once", async () => {
  const host = useHost(["new"]);
  const { admission, asked } = useHelper(
    { credentials: [login("old")], isReused: true },
    { credentials: [login("new")] },
  );
  assert.equal(await admission.enter(endpoint, offers, host.request), "new");
  assert.deepEqual(host.shown, ["p", "old", "new"]);
  assert.deepEqual(asked, [false, true]);
});

for (const status of [400, 405, 410, 418]) {
  test(`a registry may say with ${status} that what was fetched earlier is too old`, async () => {
    const host = useHost(["new"], { status });
    const { admission, asked } = useHelper(
      { credentials: [login("old")], isReused: true },
      { credentials: [login("new")] },
      { credentials: [login("new")], isReused: true },
      { credentials: [login("newer")] },
    );
    const mine = [helper, anonymous];
    assert.equal(await admission.enter(endpoint, mine, host.request), "new");
    assert.deepEqual(host.shown, ["old", "new"]);
    // What this pull used all the time may be the old one, too.
    host.letsIn = ["newer"];
    assert.equal(await admission.enter(endpoint, mine, host.request), "newer");
    assert.deepEqual(host.shown.slice(2), ["new", "newer"]);
    assert.deepEqual(asked, [false, true, false, true]);
    // What nobody keeps cannot be old.
    await assert.rejects(new Admission().enter(endpoint, offers, host.request), statusError(status));
  });
}

test("the same again is not shown again", async () => {
  const host = useHost(["anonymous"]);
  const { admission } = useHelper({ credentials: [login("old")], isReused: true }, { credentials: [login("old")] });
  await admission.enter(endpoint, offers, host.request);
  assert.deepEqual(host.shown, ["p", "old", "q", "anonymous"]);
});

test("if none is let in, the first refusal is the answer, with all that was tried", async () => {
  const statuses = [403, 404, 401];
  const request = () => Promise.reject(statusError(statuses.shift() ?? 0));
  const { admission } = useHelper({ problem: "did not answer within 10 s" });
  const failure = await admission.enter(endpoint, offers, request).catch((error: unknown) => error);
  assert.ok(failure instanceof NotLetIn);
  assert.equal(failure.first.status, 403);
  assert.deepEqual(failure.tried, [
    "the pod's secret",
    "the helper (did not answer within 10 s)",
    "--docker-config",
    "anonymous",
  ]);
});

test("what the node's credentials are withheld from is told", async () => {
  const http = endpointOf({ registry: "r.example", repository: "org/app", transport: "http" });
  const { admission, asked } = useHelper({ credentials: [login("one")] });
  const host = useHost([]);
  const failure = await admission.enter(http, offers, host.request).catch((error: unknown) => error);
  assert.ok(failure instanceof NotLetIn);
  assert.deepEqual(host.shown, ["p", "anonymous"]);
  assert.deepEqual(asked, []);
  assert.match(failure.tried.join(), /the helper \(not shown over plain http\),--docker-config \(not shown/);
});

test("a refusal that is the cause of a failure counts, and nothing else does", async () => {
  const refused = new DriverError("forbidden", "x", statusError(403));
  const admission = new Admission();
  const once = [refused];
  const request = (credential: Credential) => {
    const error = once.pop();
    return error === undefined ? Promise.resolve(credential.source) : Promise.reject(error);
  };
  assert.equal(await admission.enter(endpoint, [podSecret, anonymous], request), "anonymous");
  for (const error of [statusError(500), new DriverError("corrupt", "x"), new Error("disk full")]) {
    await assert.rejects(
      new Admission().enter(endpoint, offers, () => Promise.reject(error)),
      error,
    );
  }
});
