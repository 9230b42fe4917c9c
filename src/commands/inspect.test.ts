import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { runCommand } from "../../test/helpers/command-run.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import {
  artifact,
  type BuiltManifest,
  type Certificates,
  configuredArtifact,
  createCertificates,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  image,
  index,
  knownArtifacts,
  layer,
  push,
} from "../../test/registry/index.ts";

/** Serves one artifact and inspects it over plain http. */
async function inspected(manifest: BuiltManifest, ...flags: readonly string[]) {
  await using registry = await EmbeddedRegistry.start();
  await push(registry, "team/thing", manifest, "v1");
  const reference = `${registry.host}/team/thing:v1`;
  const ran = await runCommand(["inspect", "--plain-http", ...flags, reference]);
  return { ...ran, lines: ran.output.split("\n"), reference, blobGets: registry.log.blobGets().length };
}

const own = process.arch === "arm64" ? "arm64" : "amd64";
const other = own === "amd64" ? "arm64" : "amd64";

test("files and folders: what each is called, what it weighs, and no blob is fetched", async () => {
  const manifest = artifact([
    fileLayer("model/weights.bin", "w".repeat(2_500)),
    await folderLayer("conf", { x: "1" }),
    layer(Buffer.from("12345"), "x/unknown"),
  ]);
  const { code, error, lines, reference, blobGets } = await inspected(manifest);
  assert.deepEqual({ code, error, blobGets }, { code: 0, error: "", blobGets: 0 });
  const folderSize = manifest.blobs[2]?.bytes.length;
  assert.deepEqual(lines, [
    `Reference: ${reference}`,
    `Digest: ${manifest.digest}`,
    "Kind: files with titles",
    "Type: application/vnd.unknown.artifact.v1",
    "Size: 2.6 kB in 3 blobs",
    "",
    "     SIZE  BECOMES      NAME",
    "   2.5 kB  file         model/weights.bin",
    `${folderSize} bytes  unpacked     conf`,
    "  5 bytes  nothing      x/unknown",
    "",
  ]);
});

test("each known kind is named, and its layers are what a volume holds", async () => {
  for (const { kind, manifest, modes = {} } of await knownArtifacts()) {
    const { code, lines } = await inspected(manifest);
    assert.equal(code, 0);
    if (kind === "Flux artifact") assert.match(lines.at(-2) ?? "", /unpacked +at the root, .*content\.v1\.tar\+gzip$/);
    const named = lines.find((line) => line.startsWith("Kind: "))?.slice("Kind: ".length) ?? "";
    assert.ok(kind.startsWith(named), `${kind} is called ${named}`);
    for (const line of lines) assert.ok(line.length <= 80, line);
    if ("bin/serve.sh" in modes) assert.ok(lines.some((line) => line.endsWith("bin/serve.sh (mode 0755)")));
  }
});

test("--json says all that the text says, for programs", async () => {
  const manifest = artifact([fileLayer("a", "12", "text/plain"), layer(Buffer.from("3"), "x/y")], {
    annotations: { "org.opencontainers.image.created": "now" },
  });
  const { output, reference } = await inspected(manifest, "--json");
  const [a, b] = manifest.blobs.slice(1);
  assert.deepEqual(JSON.parse(output), {
    reference,
    digest: manifest.digest,
    manifest: {
      digest: manifest.digest,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      artifactType: "application/vnd.unknown.artifact.v1",
      configMediaType: "application/vnd.oci.empty.v1+json",
      kind: "files with titles",
      problem: null,
      sizeBytes: 3,
      annotations: { "org.opencontainers.image.created": "now" },
      layers: [
        { mediaType: "text/plain", digest: a?.digest, sizeBytes: 2, title: "a", becomes: "file", path: "a" },
        { mediaType: "x/y", digest: b?.digest, sizeBytes: 1, title: null, becomes: "nothing", path: null },
      ],
    },
  });
});

describe("an index", () => {
  const of = (architecture: string) => ({
    manifest: artifact([fileLayer("arch", architecture)]),
    platform: { os: "linux", architecture },
  });
  const [ours, theirs] = [of(own), of(other)];
  const attestation = { ...of("x"), platform: { os: "unknown", architecture: "unknown" } };

  test("is shown with its platforms, and this machine's is chosen", async () => {
    const { lines } = await inspected(index([theirs, attestation, ours]));
    assert.deepEqual(lines.slice(2, 6), [
      `Platforms: linux/${other}, linux/${own}`,
      `Chosen for linux/${own}:`,
      `  ${ours.manifest.digest}`,
      "Kind: files with titles",
    ]);
  });

  test("is followed to the platform that is asked for", async () => {
    const { output } = await inspected(index([ours, theirs]), "--platform", `linux/${other}`, "--json");
    const report = JSON.parse(output);
    assert.deepEqual([report.platform, report.manifest.digest], [`linux/${other}`, theirs.manifest.digest]);
    assert.deepEqual(
      report.platforms.map((entry: { platform: string }) => entry.platform),
      [`linux/${own}`, `linux/${other}`],
    );
  });

  test("with nothing for this machine is shown all the same", async () => {
    const { code, lines } = await inspected(index([theirs]));
    assert.equal(code, 0);
    assert.deepEqual(lines.slice(2), [
      `Platforms: linux/${other}`,
      `Nothing in it is for linux/${own}: --platform names another.`,
      "",
    ]);
    assert.equal(JSON.parse((await inspected(index([theirs]), "--json")).output).manifest, null);
  });

  test("with nothing for the platform that is asked for is an error", async () => {
    const { code, output, error } = await inspected(index([ours]), "--platform=linux/s390x");
    assert.deepEqual([code, output], [1, ""]);
    assert.match(error, /^oras-csi: .* has nothing for platform linux\/s390x; it has linux\/\w+\n$/);
  });
});

test("what cannot be mounted is shown, with the reason", async () => {
  const clash = artifact([fileLayer("a", "1"), fileLayer("./a", "2"), fileLayer("../b", "3")]);
  const { code, output } = await inspected(clash);
  assert.equal(code, 0);
  assert.match(output.replaceAll("\n  ", " "), /\nCannot be mounted: .*"\.\.\/b".* leads out of its folder\n/);
  const config = layer(Buffer.from("{}"), "application/vnd.cncf.model.config.v1+json");
  const nameless = configuredArtifact(config, [layer(Buffer.from("1"), "x/y")]);
  const report = JSON.parse((await inspected(nameless, "--json")).output).manifest;
  assert.match(report.problem, /no layer of this artifact .* has a title/);
});

test("an image, and an artifact without layers", async () => {
  const { lines } = await inspected(image([{ packed: Buffer.from("1"), diffId: `sha256:${"a".repeat(64)}` }]));
  assert.ok(lines.includes("Kind: container image"));
  assert.ok(lines.includes("   1 byte  image layer  application/vnd.oci.image.layer.v1.tar+gzip"), lines.join("\n"));
  assert.ok((await inspected(artifact([]))).lines.includes("Kind: empty artifact"));
});

test("what a stranger pushed does not write on the terminal, nor beyond its 80 columns", async () => {
  const tricks = "\u001b[2J\n\u202e";
  const layers = [`${tricks}${"x".repeat(200)}`, tricks].map((title) => fileLayer(title, "1", `t/${tricks}`));
  const { output, lines, reference } = await inspected(artifact(layers, { artifactType: tricks.repeat(100) }));
  for (const trick of ["\u001b", "\u202e"]) assert.ok(!output.includes(trick));
  for (const line of lines) assert.ok(line.length <= 80 || line.includes(reference), line);
});

describe("credentials", () => {
  const users = { me: { password: "s3cret:with colon" } };
  const manifest = artifact([fileLayer("a", "1")]);

  async function usePrivate() {
    const registry = await EmbeddedRegistry.start({ auth: { kind: "bearer", users } });
    await push({ url: registry.url, username: "me", password: users.me.password }, "team/thing", manifest, "v1");
    return registry;
  }

  function configFor(host: string, password: string): string {
    return JSON.stringify({ auths: { [host]: { auth: Buffer.from(`me:${password}`).toString("base64") } } });
  }

  test("come from standard input, which may end in a line break", async () => {
    await using registry = await usePrivate();
    for (const end of ["", "\n", "\r\n"]) {
      const argv = ["inspect", "--plain-http", "-u", "me", "--password-stdin", `${registry.host}/team/thing:v1`];
      const { code, error } = await runCommand(argv, { input: users.me.password + end });
      assert.deepEqual([code, error], [0, ""]);
    }
  });

  test("come from the config.json that is named, or from the usual one", async (t) => {
    await using registry = await usePrivate();
    const folder = useTempFolder(t);
    const file = join(folder, "config.json");
    writeFileSync(file, configFor(registry.host, users.me.password));
    const argv = ["inspect", "--plain-http", `${registry.host}/team/thing:v1`];
    const ways = [
      await runCommand([...argv, `--registry-config=${file}`]),
      await runCommand(argv, { env: { DOCKER_CONFIG: folder, HOME: "/nonexistent" } }),
    ];
    for (const { code, error } of ways) assert.deepEqual([code, error], [0, ""]);
  });

  test("that are wrong are tried before what a config.json has, and are never shown", async (t) => {
    await using registry = await usePrivate();
    const file = join(useTempFolder(t), "config.json");
    writeFileSync(file, configFor(registry.host, users.me.password));
    const argv = ["inspect", "--plain-http", "-u", "you", "--password-stdin", `${registry.host}/team/thing:v1`];
    const refused = await runCommand(argv, { input: "wr0ng" });
    assert.deepEqual([refused.code, refused.output], [1, ""]);
    assert.match(refused.error, /tried: --username, anonymous; .*--registry-config, or -u and --password-stdin\n$/);
    assert.doesNotMatch(refused.error, /wr0ng/);
    const { code } = await runCommand([...argv, "--registry-config", file], { input: "wr0ng" });
    assert.equal(code, 0);
  });

  test("from files that cannot be used: an error if they were named, else a line", async (t) => {
    await using registry = await EmbeddedRegistry.start();
    await push(registry, "team/thing", manifest, "v1");
    const folder = useTempFolder(t);
    writeFileSync(join(folder, "config.json"), "{ no JSON");
    const argv = ["inspect", "--plain-http", `${registry.host}/team/thing:v1`];
    const usual = await runCommand(argv, { env: { DOCKER_CONFIG: folder } });
    assert.equal(usual.code, 0);
    assert.match(usual.error, /^oras-csi: .*config\.json is not used: .*not JSON\n$/);
    const named = await runCommand([...argv, "--registry-config", join(folder, "config.json")]);
    assert.deepEqual([named.code, named.output], [1, ""]);
    const missing = await runCommand([...argv, "--registry-config", join(folder, "none.json")]);
    assert.match(missing.error, /^oras-csi: cannot read --registry-config .*none\.json: ENOENT/);
  });

  test("on standard input that are not there are a wrong command line", async () => {
    const { code, error } = await runCommand(["inspect", "-u", "me", "--password-stdin", "localhost:1/a"]);
    assert.deepEqual([code, error], [2, "oras-csi: --password-stdin: standard input is empty\n"]);
  });
});

describe("failures are one line in the words of the command line", () => {
  let tls: Certificates;
  before(async () => {
    tls = await createCertificates();
  });
  const manifest = artifact([fileLayer("a", "1")]);

  test("over TLS", async (t) => {
    await using registry = await EmbeddedRegistry.start({ tls });
    await push({ url: registry.url, ca: tls.ca }, "team/thing", manifest, "v1");
    const file = join(useTempFolder(t), "ca.pem");
    writeFileSync(file, tls.ca);
    const reference = `${registry.host}/team/thing:v1`;
    assert.equal((await runCommand(["inspect", "--ca-file", file, reference])).code, 0);
    assert.equal((await runCommand(["inspect", "--insecure", reference])).code, 0);
    const distrusted = await runCommand(["inspect", reference]);
    assert.match(distrusted.error, /give its CA by --ca-file, or use --insecure\n$/);
  });

  test("over http", async () => {
    await using registry = await EmbeddedRegistry.start();
    const { code, error } = await runCommand(["inspect", `${registry.host}/team/thing:v1`]);
    assert.equal(code, 1);
    assert.match(error, /^oras-csi: cannot fetch .* it does not speak TLS; .* use --plain-http\n$/);
    const missing = await runCommand(["inspect", "--plain-http", `${registry.host}/team/none:v1`]);
    assert.match(missing.error, /team\/none:v1 .*check repository and tag/);
  });
});
