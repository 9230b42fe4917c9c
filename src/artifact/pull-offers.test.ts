import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError } from "../base/index.ts";
import { PullOffers, type VolumeOffer } from "./pull-offers.ts";

const error = new DriverError("forbidden", "no");

function use() {
  const offers = new PullOffers();
  const told: string[] = [];
  const offer = (password: string, volume: string): VolumeOffer => ({
    credentials: [{ kind: "password", username: "u", password, source: "the pod's secret", owner: "pod" }],
    refused: async () => void told.push(volume),
  });
  return { offers, told, set: (volume: string, password: string) => offers.set(volume, offer(password, volume)) };
}

test("the first one who came is asked first, and equal offers are one", async () => {
  const { offers, told, set } = use();
  assert.equal(offers.first(), undefined);
  set("a", "1");
  set("b", "2");
  set("c", "1");
  const first = offers.first();
  assert.equal(JSON.stringify(first?.credentials).includes('"password":"1"'), true);
  assert.deepEqual(Object.keys(first ?? {}).sort(), ["credentials", "hosts", "id"]);
  assert.deepEqual(await offers.refused(first?.id ?? 0, error), ["a", "c"]);
  assert.deepEqual(told, ["a", "c"]);
});

test("a later call's offer takes the place of the one before, whose refusal is nobody's any more", async () => {
  const { offers, told, set } = use();
  set("a", "old");
  const old = offers.first()?.id ?? 0;
  set("a", "new");
  assert.notEqual(offers.first()?.id, old);
  assert.deepEqual(await offers.refused(old, error), []);
  set("a", "new");
  const id = offers.first()?.id ?? 0;
  offers.delete("a");
  assert.deepEqual([await offers.refused(id, error), offers.first(), told], [[], undefined, []]);
});
