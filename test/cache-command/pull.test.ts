import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram, Sandbox } from "../driver/index.ts";
import { runCommand } from "../helpers/command-run.ts";
import { soon } from "../helpers/soon.ts";
import { abortedWithProgress, attributes, pushThing, REAL, rejectsWith, textFiles } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer, push } from "../registry/index.ts";
import { CacheCommand } from "./support.ts";

const PASSWORD = "pa55-word-marker";
const thing = async () => artifact([fileLayer("model", "m".repeat(5000)), await folderLayer("conf", { a: "a" })]);
const never = (reference: string) => attributes(reference, { "options.pullpolicy": "Never" });

/** The command line that pulls into a sandbox's cache. */
function pullArguments({ dataDir }: Sandbox, reference: string, ...more: string[]): string[] {
  return ["pull", "--plain-http", `--data-dir=${dataDir}`, ...more, reference];
}

/** Lets so many bytes of each blob come, the rest when `until` settles: never, if it is not given. */
function holdBlobs(registry: EmbeddedRegistry, afterBytes: number, until = new Promise<void>(() => undefined)): void {
  registry.fault = ({ path }) => (path.includes("/blobs/") ? { kind: "hold", afterBytes, until } : undefined);
}

/** Begins a pull in a process of its own. What is returned kills it, and waits until it is gone. */
function beginPull(sandbox: Sandbox, reference: string): () => Promise<unknown> {
  const kill = new AbortController();
  const ended = runProgram(pullArguments(sandbox, reference), { kill: kill.signal });
  return () => {
    kill.abort();
    return ended;
  };
}

test(
  "a pull beside a running driver gives the artifact to the namespace that is named, and to no other",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, await thing());
    await using sandbox = await Sandbox.start();
    const { code, output, error } = await runProgram(pullArguments(sandbox, reference, "--namespace=prod"));
    assert.deepEqual([code, error], [0, ""]);
    assert.match(output, new RegExp(`^Pulled ${reference} into the cache\nDigest: sha256:[0-9a-f]{64}\nSize: `));
    await sandbox.driver.said(/the cache was administered/);

    registry.log.clear();
    const volume = (namespace: string) => sandbox.kubelet.volume({ attributes: never(reference), namespace });
    const own = volume("prod");
    await own.publish();
    assert.equal((await textFiles(own.targetPath))["conf/a"], "a");
    await rejectsWith(volume("other").publish(), "NOT_FOUND");
    assert.deepEqual(registry.log.entries, []);

    assert.equal((await runProgram(pullArguments(sandbox, reference, "--namespace=*"))).code, 0);
    assert.equal(registry.log.blobGets().length, 0, "what the cache has is not fetched again");
    registry.log.clear();
    await volume("other").publish();
    assert.deepEqual(registry.log.entries, []);
    const [tree] = await new CacheCommand(sandbox.dataDir).json("ls");
    assert.deepEqual([tree?.references, tree?.leases], [[reference], 2]);
  },
);

test(
  "a pull beside a running driver copies what it is to put into a folder, which is not the cache's own",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, await thing());
    await using sandbox = await Sandbox.start();
    const output = join(sandbox.folder, "output");
    const { code, output: text } = await runProgram(pullArguments(sandbox, reference, "--json", "-o", output));
    assert.equal(code, 0);
    assert.equal(JSON.parse(text).output, output);
    assert.equal((await textFiles(output)).model, "m".repeat(5000));
    writeFileSync(join(output, "model"), "changed");
    const cache = new CacheCommand(sandbox.dataDir);
    const [tree] = await cache.json("ls");
    assert.equal(statSync(join(sandbox.dataDir, "trees", tree?.id ?? "", "model")).size, 5000);
    await soon(async () => assert.equal((await cache.json("ls"))[0]?.leases, 0));
    assert.equal((await cache.json("rm", reference))[0]?.outcome, "removed");
  },
);

test("the caller's credentials are used, and are in no log; wrong ones give one line", REAL, async () => {
  const users = { ann: { password: PASSWORD } };
  await using registry = await EmbeddedRegistry.start({ auth: { kind: "basic", users } });
  await push({ url: registry.url, username: "ann", password: PASSWORD }, "team/thing", await thing(), "v1");
  await using sandbox = await Sandbox.start({ flags: ["--log-level=trace"] });
  const argv = pullArguments(
    sandbox,
    `${registry.host}/team/thing:v1`,
    "--namespace=prod",
    "-u",
    "ann",
    "--password-stdin",
  );
  const wrong = await runProgram(argv, { input: "wr0ng-marker\n" });
  assert.equal(wrong.code, 1);
  assert.match(wrong.error, /^oras-csi: cannot fetch .*team\/thing:v1.* 401 .*--username.*\n$/);
  assert.equal(wrong.error.split("\n").length, 2);
  const asked = { attributes: never(`${registry.host}/team/thing:v1`), namespace: "prod" };
  await rejectsWith(sandbox.kubelet.volume(asked).publish(), "NOT_FOUND");

  assert.equal((await runProgram(argv, { input: `${PASSWORD}\n` })).code, 0);
  await sandbox.kubelet.volume(asked).publish();
  assert.doesNotMatch(sandbox.driver.output + wrong.error, /wr0ng-marker|pa55-word-marker/);
});

test("what the driver does not allow is not pulled, nor into a data dir of a newer format", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, await thing());
  registry.log.clear();
  await using sandbox = await Sandbox.create({ flags: ["--allow-registry=ghcr.io/**"] });
  const driver = await sandbox.startDriver();
  const forbidden = await runProgram(pullArguments(sandbox, reference));
  assert.match(forbidden.error, /^oras-csi: cannot pull .*the node's --allow-registry does not allow .*\n$/);
  await driver.stop();
  writeFileSync(join(sandbox.dataDir, "format.json"), '{"format": 2}\n');
  await sandbox.startDriver([]);
  const newer = await runProgram(pullArguments(sandbox, reference));
  assert.deepEqual([forbidden.code, newer.code], [1, 1]);
  assert.match(newer.error, /^oras-csi: .*format 2, this driver writes format 1.*\n$/);
  assert.deepEqual(registry.log.entries, []);
});

for (const what of ["manifest", "blob"]) {
  test(`a pull beside a running driver tells once, and at once, why it asks for a ${what} again`, REAL, async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, artifact([fileLayer("model", "m")]));
    await using sandbox = await Sandbox.start();
    let faults = 2;
    registry.fault = ({ path }) =>
      path.includes(`/${what}s/`) && faults-- > 0 ? { kind: "status", status: 503 } : undefined;
    const { code, error } = await runProgram(pullArguments(sandbox, reference));
    assert.equal(code, 0);
    const says = `^oras-csi: cannot fetch (the )?${what} .* from ${registry.host}: 503 Service Unavailable \\(trying again\\)\n$`;
    assert.match(error, new RegExp(says));
  });
}

test(
  "a command that is killed ends its pull, whose bytes stay; the next one goes on with them and tells how far it is",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const content = "0123456789".repeat(400_000);
    const reference = await pushThing(registry, artifact([fileLayer("model", content)]));
    await using sandbox = await Sandbox.start();
    holdBlobs(registry, 1_500_000);
    const kill = beginPull(sandbox, reference);
    const ingest = join(sandbox.dataDir, "ingest");
    await soon(async () =>
      assert.ok(readdirSync(ingest).some((name) => statSync(join(ingest, name)).size > 1_000_000)),
    );
    await kill();
    await sandbox.driver.said(/pull cancelled/);

    registry.fault = undefined;
    registry.log.clear();
    const output = join(sandbox.folder, "output");
    const argv = pullArguments(sandbox, reference, "-o", output);
    const { code, error } = await runCommand(argv, { terminalColumns: 100 });
    assert.equal(code, 0, error);
    assert.match(error, /\[#+\] .*\(100%\)/);
    assert.equal(readFileSync(join(output, "model"), "utf8"), content);
    assert.match(registry.log.blobGets()[0]?.headers.range ?? "", /^bytes=[1-9]/);
  },
);

test("a command that is stopped says so, and ends its pull", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, await thing());
  await using sandbox = await Sandbox.start();
  registry.log.clear();
  holdBlobs(registry, 0);
  const stop = new AbortController();
  const stopped = runCommand(pullArguments(sandbox, reference), { signal: stop.signal });
  await registry.log.waitFor(({ path }) => path.includes("/blobs/"));
  stop.abort();
  const { code, error } = await stopped;
  const says = "oras-csi: stopped; what came so far is kept, and the next pull goes on with it\n";
  assert.deepEqual([code, error], [130, says]);
  await sandbox.driver.said(/pull cancelled/);
});

test(
  "a pod that wants the artifact meanwhile joins the pull, which goes on for it when the command is killed",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const content = "0123456789".repeat(400_000);
    const reference = await pushThing(registry, artifact([fileLayer("model", content)]));
    await using sandbox = await Sandbox.start();
    registry.log.clear();
    const later = Promise.withResolvers<void>();
    holdBlobs(registry, 1_500_000, later.promise);
    const kill = beginPull(sandbox, reference);
    await soon(async () => assert.equal(registry.log.blobGets().length, 1));
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    await abortedWithProgress(() => volume.publish({ timeoutMs: 5_000 }));
    await kill();
    later.resolve();
    await volume.publish();
    assert.equal(readFileSync(join(volume.targetPath, "model"), "utf8"), content);
    assert.equal(registry.log.blobGets().length, 1);
    assert.doesNotMatch(sandbox.driver.output, /pull cancelled/);
  },
);
