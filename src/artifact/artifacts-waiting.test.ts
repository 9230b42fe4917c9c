import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { hold, turns, useArtifacts } from "../../test/helpers/artifacts-bench.ts";
import { soon } from "../../test/helpers/soon.ts";
import { artifact, fileLayer } from "../../test/registry/index.ts";
import { Pulls } from "./pulls.ts";

describe("a caller whose time is up", () => {
  test("is told how far the pull is, which goes on; the next call joins it", async () => {
    await using used = await useArtifacts();
    const file = fileLayer("a", randomBytes(1000));
    await used.pushThing(artifact([file]));
    const { held, release } = hold(used, "/blobs/", 400);
    const first = assert.rejects(used.present(), {
      kind: "in-progress",
      message: /^pulling 127\.0\.0\.1:\d+\/team\/thing:v1: /,
    });
    await held;
    used.clock.advance(95_000);
    await first;
    const second = used.present();
    await turns();
    release();
    assert.equal((await second).bytes, 1000);
    assert.equal(used.registry.log.blobGets().length, 1);
  });

  test("while the registry has not answered yet is told so, and the pull begins all the same", async () => {
    await using used = await useArtifacts();
    await used.pushThing(artifact([fileLayer("a", "1")]));
    const { held, release } = hold(used, "/manifests/", 0);
    const first = assert.rejects(used.present(), {
      kind: "in-progress",
      message: /waiting for the registry's answer$/,
    });
    await held;
    used.clock.advance(95_000);
    await first;
    release();
    await used.registry.log.waitFor(({ path, finished }) => path.includes("/blobs/") && finished);
    assert.equal((await used.present()).bytes, 1);
    assert.equal(used.registry.log.blobGets().length, 1);
    assert.equal(used.registry.log.manifestGets().length, 1);
  });

  test("hears of a try that failed at its own repository only", async () => {
    await using used = await useArtifacts();
    for (const repository of ["team/sick", "team/well"])
      await used.pushThing(artifact([fileLayer("a", "1")]), repository);
    const gate = Promise.withResolvers<void>();
    used.registry.fault = ({ path }) =>
      path.includes("/sick/") &&
      used.registry.log.manifestGets().filter((one) => one.path.includes("/sick/")).length === 1
        ? { kind: "status", status: 503 }
        : { kind: "hold", afterBytes: 0, until: gate.promise };
    const sick = assert.rejects(used.present({ repository: "team/sick" }), {
      kind: "unavailable",
      message: /team\/sick.*503/,
    });
    const well = assert.rejects(used.present({ repository: "team/well", volume: "v2" }), {
      kind: "in-progress",
      message: /waiting/,
    });
    const asked = (name: string) => used.registry.log.manifestGets().filter(({ path }) => path.includes(name)).length;
    await used.registry.log.waitFor(() => asked("/sick/") === 2 && asked("/well/") === 1);
    used.clock.advance(95_000);
    await Promise.all([sick, well]);
    gate.resolve();
  });
});

describe("a volume that leaves", () => {
  test("ends the pull that only it wanted, and nothing half-made is left", async () => {
    await using used = await useArtifacts();
    const file = fileLayer("a", randomBytes(1000));
    await used.pushThing(artifact([file]));
    const { held } = hold(used, "/blobs/", 400);
    const rejected = assert.rejects(used.present(), { kind: "cancelled" });
    await held;
    used.artifacts.leave("v1");
    await rejected;
    await used.registry.log.waitFor(({ path, finished }) => path.includes("/blobs/") && finished);
    used.registry.fault = undefined;
    assert.equal((await used.present()).bytes, 1000);
    assert.deepEqual(await used.halfMade(), []);
  });

  test("before the registry answered starts no pull", async () => {
    await using used = await useArtifacts();
    await used.pushThing(artifact([fileLayer("a", "1")]));
    const { held, release } = hold(used, "/manifests/", 0);
    const caller = new AbortController();
    const rejected = assert.rejects(used.present({}, caller.signal), { kind: "cancelled" });
    await held;
    used.artifacts.leave("v1");
    caller.abort();
    await rejected;
    release();
    await used.registry.log.waitFor(({ path, finished }) => path.includes("/manifests/") && finished);
    assert.equal((await used.present({ volume: "v2" })).bytes, 1);
    assert.ok(!used.area.lines.some((line) => line.includes("pull cancelled")));
    assert.equal(used.area.lines.filter((line) => line.includes("pull started")).length, 1);
  });

  test("does not disturb another one that wants the same", async (t) => {
    await using used = await useArtifacts();
    const joined = t.mock.method(Pulls.prototype, "join");
    await used.pushThing(artifact([fileLayer("a", randomBytes(1000))]));
    const { held, release } = hold(used, "/blobs/", 400);
    const leaving = used.present();
    const staying = used.present({ volume: "v2" });
    await held;
    await soon(async () => assert.equal(joined.mock.callCount(), 2));
    used.artifacts.leave("v1");
    release();
    assert.deepEqual(await staying, await leaving);
  });
});

test("closing ends what is under way", async () => {
  const used = await useArtifacts();
  await used.pushThing(artifact([fileLayer("a", randomBytes(1000))]));
  const { held } = hold(used, "/blobs/", 400);
  const rejected = assert.rejects(used.present(), { kind: "cancelled" });
  await held;
  await used[Symbol.asyncDispose]();
  await rejected;
});
