import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { runCommand } from "../../test/helpers/command-run.ts";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer, push } from "../../test/registry/index.ts";
import type { ListedTree } from "../admin/index.ts";
import { PullEngine } from "./pull-engine.ts";
import { scratchIn } from "./scratch-folder.ts";

const main = join(import.meta.dirname, "../main.ts");

async function useThing(content = "new") {
  const registry = await EmbeddedRegistry.start();
  const layers = [fileLayer("a/file", content), await folderLayer("folder", { one: "1", "sub/two": "2" })];
  const manifest = artifact(layers);
  await push(registry, "team/thing", manifest, "v1");
  registry.log.clear();
  return { registry, manifest, reference: `${registry.host}/team/thing:v1` };
}

test("a pull puts the files into a folder, and nothing else", async (t) => {
  const { registry, manifest, reference } = await useThing();
  await using _ = registry;
  const output = join(useTempFolder(t), "new", "folder");
  const { code, output: text, error } = await runCommand(["pull", "--plain-http", "-o", output, reference]);
  assert.deepEqual([code, error], [0, ""]);
  assert.match(
    text,
    new RegExp(`^Pulled ${reference} to ${output}\nDigest: ${manifest.digest}\nSize: 5 bytes in 6 entries\n$`),
  );
  assert.deepEqual(readdirSync(output).sort(), ["a", "folder"]);
  assert.equal(readFileSync(join(output, "a/file"), "utf8"), "new");
  assert.equal(readFileSync(join(output, "folder/sub/two"), "utf8"), "2");
  assert.equal(statSync(join(output, "a/file")).nlink, 1);
});

test("a folder keeps its time where another layer puts something into it", async (t) => {
  await using registry = await EmbeddedRegistry.start();
  const layers = [await folderLayer("folder", { one: "1" }), fileLayer("folder/two", "2")];
  await push(registry, "team/thing", artifact(layers), "v1");
  const output = useTempFolder(t);
  const argv = ["pull", "--plain-http", "-o", output, `${registry.host}/team/thing:v1`];
  assert.equal((await runCommand(argv)).code, 0);
  assert.deepEqual(readdirSync(join(output, "folder")).sort(), ["one", "two"]);
  assert.equal(statSync(join(output, "folder")).mtimeMs, 1_700_000_000_000);
});

test("files of the same name are replaced, others stay", async (t) => {
  const { registry, reference } = await useThing();
  await using _ = registry;
  const output = useTempFolder(t);
  mkdirSync(join(output, "a"));
  writeFileSync(join(output, "a/file"), "old");
  writeFileSync(join(output, "a/mine"), "mine");
  assert.equal((await runCommand(["pull", "--plain-http", "-o", output, reference])).code, 0);
  assert.equal(readFileSync(join(output, "a/file"), "utf8"), "new");
  assert.equal(readFileSync(join(output, "a/mine"), "utf8"), "mine");
});

test("files of any name arrive, and stay with the next pull", async (t) => {
  await using registry = await EmbeddedRegistry.start();
  const output = useTempFolder(t);
  for (const name of ["one", "two"]) {
    await push(registry, "team/thing", artifact([fileLayer(`.oras-csi-pull/${name}`, name)]), name);
    const argv = ["pull", "--plain-http", "-o", output, `${registry.host}/team/thing:${name}`];
    assert.equal((await runCommand(argv)).code, 0);
  }
  assert.deepEqual(readdirSync(output), [".oras-csi-pull"]);
  assert.deepEqual(readdirSync(join(output, ".oras-csi-pull")).sort(), ["one", "two"]);
});

describe("what an artifact has put where a pull is half-made", () => {
  test("is no cache: a blob of another's digest is not believed", async (t) => {
    const { registry, reference } = await useThing("right");
    await using _ = registry;
    const output = useTempFolder(t);
    const blobs = join(scratchIn(output), "blobs/sha256");
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, createHash("sha256").update("right").digest("hex")), "wrong");
    assert.equal((await runCommand(["pull", "--plain-http", "-o", output, reference])).code, 0);
    assert.equal(readFileSync(join(output, "a/file"), "utf8"), "right");
    assert.deepEqual(readdirSync(output).sort(), ["a", "folder"]);
  });

  test("is not followed, where it is a link", async (t) => {
    const { registry, reference } = await useThing();
    await using _ = registry;
    const [output, elsewhere] = [useTempFolder(t), useTempFolder(t)];
    writeFileSync(join(elsewhere, "mine"), "mine");
    symlinkSync(elsewhere, scratchIn(output));
    assert.equal((await runCommand(["pull", "--plain-http", "-o", output, reference])).code, 0);
    assert.deepEqual(readdirSync(output).sort(), ["a", "folder"]);
    assert.deepEqual(readdirSync(elsewhere), ["mine"]);
  });
});

test("links in the folder are not followed, and what is in the way is an error", async (t) => {
  const { registry, reference } = await useThing();
  await using _ = registry;
  const folder = useTempFolder(t);
  const output = join(folder, "output");
  mkdirSync(join(folder, "elsewhere"));
  mkdirSync(output);
  symlinkSync(join(folder, "elsewhere"), join(output, "a"));
  const linked = await runCommand(["pull", "--plain-http", "-o", output, reference]);
  assert.equal(linked.code, 1);
  assert.match(
    linked.error,
    /^oras-csi: .*output\/a" is a link, which is not followed, where the artifact has a folder\n$/,
  );
  assert.deepEqual(readdirSync(join(folder, "elsewhere")), []);
  assert.deepEqual(readdirSync(output), ["a"]);
});

test("a folder where the artifact has a file is an error, and stays", async (t) => {
  const { registry, reference } = await useThing();
  await using _ = registry;
  const output = useTempFolder(t);
  mkdirSync(join(output, "a/file/mine"), { recursive: true });
  const { code, error } = await runCommand(["pull", "--plain-http", "-o", output, reference]);
  assert.equal(code, 1);
  assert.match(error, /^oras-csi: .*\/a\/file" is a folder where the artifact has a file\n$/);
  assert.deepEqual(readdirSync(join(output, "a/file")), ["mine"]);
});

describe("a pull that fails", () => {
  test("leaves nothing where nothing came", async (t) => {
    const { registry, reference } = await useThing();
    await using _ = registry;
    const output = useTempFolder(t);
    const { code, error } = await runCommand(["pull", "--plain-http", "-o", output, reference.replace("v1", "v2")]);
    assert.equal(code, 1);
    assert.match(error, /^oras-csi: .*thing:v2.*\n$/);
    assert.deepEqual(readdirSync(output), []);
  });

  test("that is stopped keeps what came, and the next one goes on with it", async (t) => {
    const content = "0123456789".repeat(200_000);
    const { registry, reference } = await useThing(content);
    await using _ = registry;
    const output = useTempFolder(t);
    const argv = ["pull", "--plain-http", "-o", output, reference];
    const stop = new AbortController();
    registry.fault = ({ path }) =>
      path.includes("/blobs/")
        ? { kind: "hold", afterBytes: 1_000_000, until: new Promise<void>(() => undefined) }
        : undefined;
    const stopped = runCommand(argv, { signal: stop.signal });
    const ingest = join(scratchIn(output), "ingest");
    while (largestIn(ingest) < 900_000) await new Promise(setImmediate);
    stop.abort();
    const { code, error } = await stopped;
    assert.deepEqual(
      [code, error],
      [130, "oras-csi: stopped; what came so far is kept, and the next pull goes on with it\n"],
    );
    registry.fault = undefined;
    registry.log.clear();
    assert.equal((await runCommand(argv)).code, 0);
    assert.equal(readFileSync(join(output, "a/file"), "utf8"), content);
    assert.deepEqual(readdirSync(output).sort(), ["a", "folder"]);
    const ranges = registry.log.blobGets().map(({ headers }) => headers.range);
    assert.ok(
      ranges.some((range) => /^bytes=[1-9]/.test(range ?? "")),
      String(ranges),
    );
  });
});

function largestIn(folder: string): number {
  try {
    return Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).size));
  } catch {
    return 0;
  }
}

describe("--data-dir", () => {
  test("fills a cache, which serves the next pull but asks the registry", async (t) => {
    const { registry, reference } = await useThing();
    await using _ = registry;
    const folder = useTempFolder(t);
    const dataDir = join(folder, "data");
    const argv = ["pull", "--plain-http", "--data-dir", dataDir, "--namespace", "team-a", reference];
    const { code, output } = await runCommand(argv);
    assert.equal(code, 0);
    assert.match(output, /^Pulled .* into the cache\n/);
    assert.equal(registry.log.blobGets().length, 2);
    const copied = join(folder, "output");
    assert.equal((await runCommand([...argv, "-o", copied])).code, 0);
    assert.equal(registry.log.blobGets().length, 2);
    assert.equal(readFileSync(join(copied, "a/file"), "utf8"), "new");
    writeFileSync(join(copied, "a/file"), "changed");
    const [tree = ""] = readdirSync(join(dataDir, "trees")).filter((name) => !name.endsWith(".json"));
    assert.equal(readFileSync(join(dataDir, "trees", tree, "a/file"), "utf8"), "new");
  });

  test("takes nothing away that a volume shows, though no driver runs", async (t) => {
    const { registry, reference } = await useThing();
    await using _ = registry;
    const dataDir = join(useTempFolder(t), "data");
    assert.equal((await runCommand(["pull", "--plain-http", "--data-dir", dataDir, reference])).code, 0);
    const [tree = ""] = readdirSync(join(dataDir, "trees")).filter((name) => !name.endsWith(".json"));
    const [volumeId, targetPath] = ["csi-1", "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/v/mount"];
    const record = { volumeId, targetPath, tree, readOnly: true, namespace: "default" };
    const key = createHash("sha256").update(`${volumeId}\0${targetPath}`).digest("hex");
    writeFileSync(join(dataDir, "volumes", `${key}.json`), JSON.stringify(record));
    const signal = new AbortController().signal;
    const access = { unveil: () => assert.fail() };
    await using engine = await PullEngine.open({
      dataDir,
      isScratch: false,
      writeLog: assert.fail,
      signal,
      access,
      onFailedTry: assert.fail,
    });
    assert.equal((await engine.cache.collector.prune()).trees, 0);
    assert.ok(statSync(join(dataDir, "trees", tree)).isDirectory());
  });

  test("of a newer format is left alone", async (t) => {
    const { registry, reference } = await useThing();
    await using _ = registry;
    const dataDir = useTempFolder(t);
    writeFileSync(join(dataDir, "format.json"), '{"format": 2}');
    const { code, error } = await runCommand(["pull", "--plain-http", "--data-dir", dataDir, reference]);
    assert.equal(code, 1);
    assert.match(error, /oras-csi: the data dir of this node has format 2, this driver writes format 1/);
    assert.deepEqual(registry.log.entries, []);
  });

  test("knows each reference that a tree was pulled for", async (t) => {
    const { registry, manifest, reference } = await useThing();
    await using _ = registry;
    await push(registry, "team/thing", manifest, "v2");
    const dataDir = useTempFolder(t);
    const references = [reference, `${registry.host}/team/thing:v2`];
    for (const each of references) {
      assert.equal((await runCommand(["pull", "--plain-http", "--data-dir", dataDir, each])).code, 0);
    }
    const { output } = await runCommand(["cache", "ls", "--json", "--data-dir", dataDir]);
    assert.deepEqual((JSON.parse(output) as ListedTree[])[0]?.references, references);
  });

  test("asks the credential helpers that a config.json names", async (t) => {
    const users = { ann: { password: "pa55" } };
    await using registry = await EmbeddedRegistry.start({ auth: { kind: "basic", users } });
    const login = { url: registry.url, username: "ann", password: "pa55" };
    await push(login, "team/thing", artifact([fileLayer("file", "new")]), "v1");
    const folder = useTempFolder(t);
    const helper = join(folder, "docker-credential-mine");
    writeFileSync(helper, `#!/bin/sh\necho '{"Username":"ann","Secret":"pa55"}'\n`, { mode: 0o755 });
    const config = join(folder, "config.json");
    writeFileSync(config, JSON.stringify({ credHelpers: { [registry.host]: "mine" } }));
    const path = process.env.PATH;
    process.env.PATH = `${folder}:${path}`;
    t.after(() => {
      process.env.PATH = path;
    });
    const argv = ["pull", "--plain-http", "--registry-config", config, "--data-dir", join(folder, "data")];
    const { code, error } = await runCommand([...argv, `${registry.host}/team/thing:v1`]);
    assert.deepEqual([code, error], [0, ""]);
  });

  test("is needed by --namespace", async () => {
    const { code, error } = await runCommand(["pull", "--namespace=x", "localhost:1/a"]);
    assert.deepEqual([code, error], [2, "oras-csi: --namespace needs --data-dir: whose cache is meant\n"]);
  });
});

test("a folder that cannot be written is told with the reason", async (t) => {
  const folder = useTempFolder(t);
  writeFileSync(join(folder, "file"), "");
  const rows: [output: string, why: string][] = [
    [join(folder, "file"), "EEXIST: a file is in the way"],
    [join(folder, "file/below"), "ENOTDIR: a file is in the way"],
    ["/proc/oras-csi", "ENOENT"],
  ];
  for (const [output, why] of rows) {
    // A process of its own: Node's recursive mkdir would never come back from /proc.
    const argv = [main, "pull", "-o", output, "localhost:1/a"];
    const { status, stderr } = spawnSync(process.execPath, argv, { encoding: "utf8", timeout: 60_000 });
    assert.deepEqual(
      [status, stderr],
      [1, `oras-csi: cannot write into the folder ${output} (${why}): see --output\n`],
    );
  }
});

test("a full disk is told of the folder, not of a cache that there is not", { skip: whyNoSmallDisk() }, async () => {
  await using registry = await EmbeddedRegistry.start();
  await push(registry, "team/thing", artifact([fileLayer("file", Buffer.alloc(4 * 1024 * 1024, "x"))]), "v1");
  using disk = useSmallDisk({ sizeBytes: 4 * 1024 * 1024 });
  const argv = ["pull", "--plain-http", "-o", disk.path, `${registry.host}/team/thing:v1`];
  const { code, error } = await runCommand(argv);
  assert.equal(code, 1);
  assert.match(error, /are needed, the folder's file system has [\d.]+ MB of [\d.]+ MB left\n$/);
});

test("on a terminal a line tells the progress, and goes; --json is one object", async (t) => {
  const { registry, manifest, reference } = await useThing();
  await using _ = registry;
  const output = useTempFolder(t);
  const argv = ["pull", "--plain-http", "--json", "-o", output, reference];
  const { output: text, error } = await runCommand(argv, { terminalColumns: 40 });
  assert.deepEqual(JSON.parse(text), { reference, digest: manifest.digest, sizeBytes: 5, entries: 6, output });
  assert.match(error, /^\rpulling 127/);
  assert.ok(error.endsWith("\r\u001b[K"));
  for (const line of error.split("\r")) assert.ok(line.replace("\u001b[K", "").length < 40, line);
});

test("a pull that fails takes away the folder that it made, and no other", async (t) => {
  const { registry, reference } = await useThing();
  await using _ = registry;
  const [made, given] = [join(useTempFolder(t), "made"), useTempFolder(t)];
  for (const output of [made, given]) {
    assert.equal((await runCommand(["pull", "--plain-http", "-o", output, `${reference}-none`])).code, 1);
  }
  assert.deepEqual([existsSync(made), existsSync(given)], [false, true]);
});

for (const command of [["pull", "-o"], ["inspect"]]) {
  test(`${command[0]} tells once, and at once, why it tries again`, async (t) => {
    const { registry, reference } = await useThing();
    await using _ = registry;
    let faults = 2;
    registry.fault = () => (faults-- > 0 ? { kind: "status", status: 503 } : undefined);
    const [name = "", ...flags] = command;
    const more = flags.length > 0 ? [...flags, useTempFolder(t)] : [];
    const { code, error } = await runCommand([name, "--plain-http", ...more, reference]);
    const { host } = registry;
    const expected = `oras-csi: cannot fetch the manifest of ${reference} from ${host}: 503 Service Unavailable (trying again)\n`;
    assert.deepEqual([code, error], [0, expected]);
  });
}
