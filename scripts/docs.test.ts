import assert from "node:assert/strict";
import { test } from "node:test";
import { withSection } from "./docs.ts";

const section = { file: "x.md", name: "flags", content: "new" };
const around = (content: string) =>
  `before\n<!-- flags: begin (written by scripts/docs.ts) -->\n${content}<!-- flags: end -->\nafter\n`;

test("a section's content is replaced, the rest stays", () => {
  assert.equal(withSection(around("old\nlines\n"), section), around("new\n"));
  assert.equal(withSection(around(""), section), around("new\n"));
});

test("writing again changes nothing", () => {
  const once = withSection(around("old\n"), section);
  assert.equal(withSection(once, section), once);
});

test("a file without the section is refused", () => {
  assert.throws(() => withSection("text\n", section), /x\.md has no section "flags"/);
});
