import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DriverError } from "../base/index.ts";
import { Admission, type Credential } from "../registry/index.ts";
import { type BlobAccess, PullAccess } from "./pull-access.ts";
import type { OfferAsk, OfferedAccess } from "./worker-calls.ts";

const passwordOf = (username: string): Credential => ({
  kind: "password",
  username,
  password: "p",
  source: "the pod's secret",
  owner: "pod",
});
const ofJob = [passwordOf("job")];
const offerOf = (id: number): OfferedAccess => ({ id, credentials: [passwordOf(`volume ${id}`)] });

/** What is asked of the main thread is answered by `offers`, in order, then with nothing. */
function useAccess(isForOneCaller: boolean, ...offers: (OfferedAccess | undefined)[]) {
  const asked: OfferAsk["offer"][] = [];
  const access = new PullAccess({
    job: { hosts: undefined, credentials: ofJob, isForOneCaller },
    ask: async ({ offer }) => {
      asked.push(offer);
      return offers.shift();
    },
    createAdmission: () => new Admission(),
  });
  const shown: BlobAccess[] = [];
  /** A request that is refused so many times, then answered. */
  const run = (refusals = 0, kind: DriverError["kind"] = "forbidden") => {
    const firstGood = shown.length + refusals;
    return access.run(async (offered) => {
      shown.push(offered);
      if (shown.length <= firstGood) throw new DriverError(kind, `no ${shown.length}`);
      return "answer";
    });
  };
  const names = () =>
    shown.map(({ credentials }) => credentials.map((one) => "username" in one && one.username).join());
  return { run, asked, shown, names };
}

describe("a pull for one caller", () => {
  test("shows what its job has and asks nobody what else, request after request", async () => {
    const { run, asked, shown, names } = useAccess(true, offerOf(1));
    for (let requests = 0; requests < 3; requests++) assert.equal(await run(), "answer");
    assert.deepEqual([names(), asked], [["job", "job", "job"], []]);
    assert.equal(new Set(shown.map(({ admission }) => admission)).size, 1, "what was let in is known from then on");
  });

  test("fails with the refusal where nothing else is offered", async () => {
    const { run, asked } = useAccess(true);
    await assert.rejects(run(1), /no 1/);
    assert.deepEqual(asked, [{ refused: { id: 0, error: { kind: "forbidden", message: "no 1" } } }]);
    assert.equal(await run(), "answer", "the next request is made all the same");
    assert.equal(asked.length, 1);
  });
});

describe("a pull for volumes", () => {
  test("asks before each request whose turn it is, and shows what the job has where nobody wants it", async () => {
    const { run, asked, names } = useAccess(false, offerOf(1), undefined, offerOf(2));
    for (let requests = 0; requests < 3; requests++) await run();
    assert.deepEqual([names(), asked.length], [["volume 1", "job", "volume 2"], 3]);
  });

  test("goes on after a refusal with what another volume offers, each with an admission of its own", async () => {
    const { run, asked, shown, names } = useAccess(false, offerOf(1), offerOf(2));
    assert.equal(await run(1, "unauthenticated"), "answer");
    assert.deepEqual(names(), ["volume 1", "volume 2"]);
    assert.equal(asked[1]?.refused?.id, 1);
    assert.notEqual(shown[0]?.admission, shown[1]?.admission);
  });
});

for (const isForOneCaller of [true, false]) {
  test(`what is no refusal ends the request at once, for one caller: ${isForOneCaller}`, async () => {
    const { run, asked } = useAccess(isForOneCaller, offerOf(1), offerOf(2));
    await assert.rejects(run(1, "unavailable"), /no 1/);
    assert.equal(asked.length, isForOneCaller ? 0 : 1);
  });
}
