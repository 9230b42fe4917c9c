import assert from "node:assert/strict";
import {
  existsSync,
  promises as fs,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { DriverError } from "../base/index.ts";
import { isSameFolder } from "./folders.ts";
import { canonicalTargetPath, checkTarget, openTarget, prepareTarget, removeTarget } from "./target.ts";

function useFolder(): { readonly folder: string; readonly target: string; [Symbol.dispose](): void } {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-target-"));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return { folder, target: join(folder, "mount"), [Symbol.dispose]: dispose };
}

async function failsAs(call: Promise<unknown>, kind: string, says: RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof DriverError, String(error));
    assert.equal(error.kind, kind);
    assert.match(error.message, says);
    return true;
  });
}

test("a missing target is made 0750, whatever the umask", async () => {
  using place = useFolder();
  const umask = process.umask(0o077);
  try {
    await prepareTarget(place.target);
  } finally {
    process.umask(umask);
  }
  assert.equal(statSync(place.target).mode & 0o7777, 0o750);
});

test("a target whose mode cannot be set goes again", async (t) => {
  using place = useFolder();
  // No file system here makes a folder for root and then refuses its mode.
  t.mock.method(fs, "chmod", () => Promise.reject(Object.assign(new Error("no"), { code: "EPERM" })));
  await assert.rejects(prepareTarget(place.target), { code: "EPERM" });
  assert.ok(!existsSync(place.target));
});

test("a target that is removed as it is made is refused, not unexpected", async (t) => {
  using place = useFolder();
  const { mkdir } = fs;
  t.mock.method(fs, "mkdir", async (path: string) => {
    await mkdir(path);
    rmSync(place.folder, { recursive: true });
  });
  await failsAs(prepareTarget(place.target), "refused", /was removed while the volume was published/);
  t.mock.restoreAll();
  await failsAs(prepareTarget("/proc/self/fd/x"), "refused", /takes no folders/);
});

test("an empty folder is used as it is", async () => {
  using place = useFolder();
  mkdirSync(place.target, { mode: 0o700 });
  await prepareTarget(place.target);
  assert.equal(statSync(place.target).mode & 0o7777, 0o700);
});

test("links above the target are followed", async () => {
  using place = useFolder();
  mkdirSync(join(place.folder, "real"));
  symlinkSync("real", join(place.folder, "link"));
  await prepareTarget(join(place.folder, "link/mount"));
  assert.ok(existsSync(join(place.folder, "real/mount")));
});

describe("what is refused stays as it is", () => {
  const rows: readonly { name: string; make: (folder: string) => void; says: RegExp }[] = [
    {
      name: "no folder above",
      make: (folder) => rmSync(folder, { recursive: true }),
      says: /folder above the target .* is missing/,
    },
    {
      name: "a file above",
      make: (folder) => {
        rmSync(folder, { recursive: true });
        writeFileSync(folder, "");
      },
      says: /folder above the target .* is missing/,
    },
    { name: "a file", make: (folder) => writeFileSync(join(folder, "mount"), "x"), says: /is a file/ },
    {
      name: "a symlink to a folder",
      make: (folder) => symlinkSync(folder, join(folder, "mount")),
      says: /is a symlink/,
    },
    {
      name: "a dangling symlink",
      make: (folder) => symlinkSync("nowhere", join(folder, "mount")),
      says: /is a symlink/,
    },
    {
      name: "a full folder",
      make: (folder) => mkdirSync(join(folder, "mount/x"), { recursive: true }),
      says: /something in it/,
    },
  ];
  for (const { name, make, says } of rows) {
    test(name, async () => {
      using place = useFolder();
      make(place.folder);
      const before = existsSync(place.folder) && statSync(place.folder).isDirectory() ? readdirSync(place.folder) : [];
      await failsAs(checkTarget(place.target), "refused", says);
      await failsAs(prepareTarget(place.target), "refused", says);
      const after = existsSync(place.folder) && statSync(place.folder).isDirectory() ? readdirSync(place.folder) : [];
      assert.deepEqual(after, before);
      rmSync(place.folder, { recursive: true, force: true });
    });
  }
});

test("removing takes an empty folder, and is content with none", async () => {
  using place = useFolder();
  await removeTarget(place.target);
  await prepareTarget(place.target);
  await removeTarget(place.target);
  assert.ok(!existsSync(place.target));
  await removeTarget(join(place.folder, "gone/mount"));
});

test("removing leaves what is not the volume's", async () => {
  using place = useFolder();
  mkdirSync(join(place.target, "x"), { recursive: true });
  await failsAs(removeTarget(place.target), "unavailable", /something in it/);
  assert.ok(existsSync(join(place.target, "x")));
  rmSync(place.target, { recursive: true });
  writeFileSync(place.target, "x");
  await failsAs(removeTarget(place.target), "unavailable", /is no folder/);
  assert.ok(existsSync(place.target));
});

test("who may not remove a target is told so, and of no other folder", async (t) => {
  using place = useFolder();
  // Root is kept out by file systems of others only.
  t.mock.method(fs, "rmdir", () => Promise.reject(Object.assign(new Error("no"), { code: "EACCES" })));
  await failsAs(removeTarget(place.target), "unavailable", /mount may not be removed \(EACCES\)/);
});

test("a slash at a target's end is not kept: it would follow a link there", async () => {
  using place = useFolder();
  symlinkSync(place.folder, place.target);
  assert.equal(await canonicalTargetPath(`${place.target}//`), place.target);
  await failsAs(prepareTarget(await canonicalTargetPath(`${place.target}/`)), "refused", /is a symlink/);
  assert.equal(await canonicalTargetPath("/"), "/");
  assert.equal(await canonicalTargetPath("/a/b"), "/a/b");
});

test("links above a target are taken out, as the kernel follows them, also where the rest is missing", async () => {
  using place = useFolder();
  mkdirSync(join(place.folder, "real/below"), { recursive: true });
  symlinkSync("real/below", join(place.folder, "link"));
  const real = join(place.folder, "real");
  const rows = {
    "link/mount": "real/below/mount",
    "link/../mount": "real/mount",
    "link//.//mount/": "real/below/mount",
    "link/pods/gone/mount": "real/below/pods/gone/mount",
    "link/.": "real/below",
    "real/below/..": "real",
  };
  for (const [asked, expected] of Object.entries(rows)) {
    assert.equal(await canonicalTargetPath(`${place.folder}/${asked}`), join(place.folder, expected));
    const seen = await openTarget(`${place.folder}/${asked}`);
    using folder = seen.folder;
    assert.equal(seen.path, join(place.folder, expected));
    const isNamed = existsSync(dirname(seen.path)) && basename(asked).replaceAll(".", "") !== "";
    assert.equal(folder?.path, isNamed ? dirname(seen.path) : undefined, "it is looked into for the target");
  }
  symlinkSync("loop", join(place.folder, "loop"));
  for (const path of [`${place.folder}/loop/mount`, `/${"x".repeat(300)}/mount`, "/nul\0/mount"]) {
    assert.equal(await canonicalTargetPath(path), path);
    assert.deepEqual(await openTarget(path), { path, folder: undefined });
  }
  assert.ok(await isSameFolder(real, `${place.folder}/link/..`));
  assert.ok(!(await isSameFolder(real, join(place.folder, "link"))));
  for (const path of ["gone", "loop/x", "x".repeat(300)].map((name) => join(place.folder, name))) {
    assert.ok(!(await isSameFolder(path, path)));
  }
});
