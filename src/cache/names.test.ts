import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readlinkSync, realpathSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { parseReference } from "../oci/index.ts";
import type { TreeId } from "./layout.ts";

const one = "11".repeat(32) as TreeId;
const two = "22".repeat(32) as TreeId;
const digest = `sha256:${"ab".repeat(32)}`;

const links: [namespace: string, reference: string, name: string][] = [
  ["default", "ghcr.io/singularityhub/github-ci:latest", "ghcr-io-singularityhub-github-ci-latest"],
  ["default", "ghcr.io/singularityhub/github-ci", "ghcr-io-singularityhub-github-ci-latest"],
  ["team-a", "nginx", "docker-io-library-nginx-latest"],
  ["_", "LOCALHOST:5000/a/b_c:V1.0", "localhost-5000-a-b_c-V1-0"],
  ["default", `ghcr.io/a@${digest}`, `ghcr-io-a-sha256-${"ab".repeat(32)}`],
  ["default", `ghcr.io/a:v1@${digest}`, `ghcr-io-a-v1-sha256-${"ab".repeat(32)}`],
  ["default", "[::1]:5000/x", "[--1]-5000-x-latest"],
];
for (const [namespace, reference, name] of links) {
  test(`the link of ${reference} in ${namespace} is ${name}`, async (t) => {
    const { names, layout } = await useDataDir(t).open();
    mkdirSync(layout.treeFolder(one));
    await names.link(namespace, parseReference(reference), one);
    assert.deepEqual(readdirSync(layout.names), [namespace]);
    assert.deepEqual(readdirSync(join(layout.names, namespace)), [name]);
    const link = join(layout.names, namespace, name);
    assert.equal(readlinkSync(link), `../../trees/${one}`);
    assert.equal(realpathSync(link), realpathSync(layout.treeFolder(one)));
    assert.equal(statSync(join(layout.names, namespace)).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(layout.tmp), []);
  });
}

test("a link points to the newest tree, in its namespace only", async (t) => {
  const { names, layout } = await useDataDir(t).open();
  const reference = parseReference("ghcr.io/a");
  for (const tree of [one, one, two, one, two]) await names.link("default", reference, tree);
  await names.link("other", reference, one);
  const target = (namespace: string) => readlinkSync(join(layout.names, namespace, "ghcr-io-a-latest"));
  assert.deepEqual([target("default"), target("other")], [`../../trees/${two}`, `../../trees/${one}`]);
});

test("many links at once leave one of them", async (t) => {
  const { names, layout } = await useDataDir(t).open();
  const reference = parseReference("ghcr.io/a");
  await Promise.all([one, two, one, two].map((tree) => names.link("default", reference, tree)));
  assert.equal(readdirSync(join(layout.names, "default")).length, 1);
  assert.deepEqual(readdirSync(layout.tmp), []);
});

test("what is in the way of a link is replaced, if it is a link or a file", async (t) => {
  const { names, layout } = await useDataDir(t).open();
  const folder = join(layout.names, "default");
  mkdirSync(folder);
  symlinkSync("nowhere", join(folder, "ghcr-io-a-latest"));
  writeFileSync(join(folder, "ghcr-io-b-latest"), "");
  await names.link("default", parseReference("ghcr.io/a"), one);
  await names.link("default", parseReference("ghcr.io/b"), one);
  for (const name of readdirSync(folder)) assert.equal(readlinkSync(join(folder, name)), `../../trees/${one}`);
});

const impossible: [name: string, prepare: (folder: string) => void, repository: string, reason: RegExp][] = [
  ["a name that is too long", () => undefined, "a".repeat(255), /ENAMETOOLONG/],
  [
    "a folder in the way",
    (folder) => mkdirSync(join(folder, "default/ghcr-io-a-latest"), { recursive: true }),
    "a",
    /EISDIR/,
  ],
  ["a file in place of the namespace", (folder) => writeFileSync(join(folder, "default"), ""), "a", /EEXIST|ENOTDIR/],
];
for (const [name, prepare, repository, reason] of impossible) {
  test(`a link that cannot be made is a log line and leaves nothing: ${name}`, async (t) => {
    const area = useDataDir(t);
    const { names, layout } = await area.open();
    prepare(layout.names);
    await names.link("default", parseReference(`ghcr.io/${repository}`), one);
    assert.deepEqual([area.lines.length, area.lines[0]?.["level"]], [1, "warn"]);
    assert.match(String(area.lines[0]?.["reason"]), reason);
    assert.deepEqual(readdirSync(layout.tmp), []);
  });
}
