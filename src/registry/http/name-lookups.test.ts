import assert from "node:assert/strict";
import type { LookupFunction } from "node:net";
import { test } from "node:test";
import { ManualClock } from "../../../test/registry-client/index.ts";
import { NameLookups } from "./name-lookups.ts";

/** What is looked up now, and what those who asked were told. */
function use() {
  const clock = new ManualClock();
  const asked: { readonly name: string; readonly tell: Parameters<LookupFunction>[2] }[] = [];
  const told: string[] = [];
  const names = new NameLookups(clock, (name, _, tell) => void asked.push({ name, tell }));
  const ask = (who: string, name: string, all = true) =>
    names.lookUp(name, { all }, (error, address) => told.push(`${who} ${error?.message ?? JSON.stringify(address)}`));
  const answer = (at: number, error: Error | null = null) => asked[at]?.tell(error, [{ address: "::1", family: 6 }]);
  return { clock, told, ask, answer, asked: () => asked.map(({ name }) => name) };
}

test("a name is looked up once at a time, whoever asks for it, and another one beside it", () => {
  const { told, ask, answer, asked } = use();
  ask("a", "x");
  ask("b", "x");
  ask("c", "y");
  ask("d", "x", false);
  assert.deepEqual(asked(), ["x", "y", "x"]);
  answer(1);
  answer(0, new Error("no answer"));
  assert.deepEqual(told, ['c [{"address":"::1","family":6}]', "a no answer", "b no answer"]);
  ask("e", "x");
  assert.deepEqual(asked(), ["x", "y", "x", "x"]);
});

test("names that were not found for long are looked up one after the other, and hold up no others", () => {
  const { clock, told, ask, answer, asked } = use();
  for (const name of ["p", "q", "r"]) ask(name, name);
  clock.advance(2_000);
  for (const at of [0, 1, 2]) answer(at, new Error("no answer"));
  for (const name of ["p", "q", "r", "new"]) ask(name, name);
  assert.deepEqual(asked().slice(3), ["p", "new"]);
  answer(3);
  assert.deepEqual(asked().slice(5), ["q"]);
  ask("p", "p");
  assert.deepEqual(asked().slice(6), ["p"], "what was found at once is slow no more");
  answer(5);
  assert.deepEqual(asked().slice(7), ["r"]);
  assert.equal(told.length, 5);
});

test("names that are found in the end are not held up by others, however long they took", () => {
  const { clock, told, ask, answer, asked } = use();
  for (const name of ["dead", "found"]) ask(name, name);
  clock.advance(5_000);
  answer(0, new Error("no answer"));
  answer(1);
  for (const name of ["dead", "found"]) ask(name, name);
  assert.deepEqual(asked().slice(2), ["dead", "found"]);
  assert.equal(told.length, 2);
});
