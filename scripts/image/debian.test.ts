import assert from "node:assert/strict";
import { test } from "node:test";
import { mirrorIn } from "./debian.ts";

const rows: { name: string; text: string; mirror: string | undefined }[] = [
  {
    name: "apt's sites, security first",
    text: "http://mirror.test/debian-security/\nhttp://mirror.test/debian\n",
    mirror: "http://mirror.test",
  },
  { name: "a proxy's path", text: "https://proxy.test/apt/debian/\n", mirror: "https://proxy.test/apt" },
  {
    name: "the sources file of Debian's image",
    text:
      "Types: deb\n# http://snapshot.test/archive/debian/20260101T000000Z\nURIs: http://mirror.test/debian\n" +
      "Suites: bookworm bookworm-updates\n\nTypes: deb\nURIs: http://mirror.test/debian-security\n",
    mirror: "http://mirror.test",
  },
  { name: "Ubuntu's sites", text: "http://mirror.test/ubuntu/\n", mirror: undefined },
  { name: "nothing", text: "", mirror: undefined },
];

for (const { name, text, mirror } of rows) {
  test(`the mirror of Debian in ${name}`, () => assert.equal(mirrorIn(text), mirror));
}
