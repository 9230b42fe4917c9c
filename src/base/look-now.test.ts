import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { lookNow } from "./look-now.ts";

test("a look sees what is there, a link or what it leads to, or nothing; what fails is told", (t) => {
  const folder = useTempFolder(t);
  const [file, link] = [join(folder, "file"), join(folder, "link")];
  writeFileSync(file, "text");
  symlinkSync("file", link);
  mkdirSync(join(folder, "loop"));
  symlinkSync("self", join(folder, "loop", "self"));
  assert.equal(lookNow(file, { follow: false })?.size, 4);
  assert.equal(lookNow(link, { follow: false })?.isSymbolicLink(), true);
  assert.equal(lookNow(link, { follow: true })?.isFile(), true);
  for (const path of [join(folder, "missing"), join(file, "below")])
    assert.equal(lookNow(path, { follow: true }), undefined);
  assert.throws(() => lookNow(join(folder, "loop", "self"), { follow: true }), { code: "ELOOP" });
});
