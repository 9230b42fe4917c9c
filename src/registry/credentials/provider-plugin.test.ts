import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { useCredentials } from "../../../test/helpers/credentials-bench.ts";
import { providerAnswer } from "../../../test/helpers/programs.ts";

describe("credential provider plugins", () => {
  const login = { username: "u", password: "p" };

  test("a plugin gets the image without its tag on stdin, its arguments and environment", async (t) => {
    const { configure, provider, programs } = useCredentials(t);
    configure([{ args: ["get", "x y"], env: [{ name: "WHO", value: "robot" }] }]);
    programs.write("plugin", `test "$WHO" = robot && ${providerAnswer({ "r.example": login })}`);
    assert.deepEqual(await provider(), { credentials: ["u:p"], isReused: false, problem: undefined });
    const request = `{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"r.example/org/app"}`;
    assert.deepEqual(programs.runs("plugin"), [`get x y <${request}>`]);
  });

  test("only the plugins whose patterns match are offered, in the order of the file", async (t) => {
    const { configure, credentials } = useCredentials(t);
    configure([{ name: "b", matchImages: ["*.example"] }, { name: "c", matchImages: ["x.io"] }, { name: "a" }]);
    const sources = (await credentials.fromProviders("r.example", "x")).map(({ source }) => source);
    assert.deepEqual(sources, ["credential provider b", "credential provider a"]);
  });

  test("of the logins those that match, the most exact first", async (t) => {
    const { configure, provider, programs } = useCredentials(t);
    configure([{}]);
    const auth = {
      "*.example": { username: "glob", password: "p" },
      "r.example": { username: "host", password: "p" },
      "r.example/org": { username: "org", password: "p" },
      "r.example/other": { username: "other", password: "p" },
      "r.example/org/empty": { username: "", password: "" },
    };
    programs.write("plugin", providerAnswer(auth));
    assert.deepEqual((await provider()).credentials, ["org:p", "host:p", "glob:p"]);
  });

  const caches: { type: string; same: string[]; other: string[] }[] = [
    { type: "Image", same: ["r.example/org/app"], other: ["r.example/org/app2", "r2.example/org/app"] },
    { type: "Registry", same: ["r.example/org/app", "r.example/x"], other: ["r2.example/org/app"] },
    { type: "Global", same: ["r.example/x", "r2.example/y"], other: [] },
  ];
  for (const { type, same, other } of caches) {
    test(`cacheKeyType ${type}`, async (t) => {
      const { configure, provider, programs } = useCredentials(t);
      configure([{ matchImages: ["*.example"] }]);
      programs.write("plugin", providerAnswer({ "*.example": login }, { cacheKeyType: type }));
      await provider();
      for (const image of same) assert.equal((await provider(image)).isReused, true, image);
      for (const image of other) assert.equal((await provider(image)).isReused, false, image);
      assert.equal(programs.runs("plugin").length, 1 + other.length);
    });
  }

  test("how long an answer is kept: what it says, else what the config says, else not at all", async (t) => {
    const { configure, provider, programs, clock } = useCredentials(t);
    configure([{}]);
    programs.write("plugin", providerAnswer({ "r.example": login }, { cacheDuration: "5m0s" }));
    await provider();
    clock.advance(299_000);
    assert.equal((await provider()).isReused, true);
    clock.advance(1000);
    programs.write("plugin", providerAnswer({ "r.example": login }));
    assert.equal((await provider()).isReused, false);
    clock.advance(3_599_000);
    assert.equal((await provider()).isReused, true);
    clock.advance(1000);
    programs.write("plugin", providerAnswer({ "r.example": login }, { cacheDuration: "0s" }));
    for (let i = 0; i < 2; i++) assert.equal((await provider()).isReused, false);
  });

  test("an answer that was refused is dropped, whatever it was kept for", async (t) => {
    const { configure, provider, programs } = useCredentials(t);
    configure([{}]);
    programs.write("plugin", providerAnswer({ "r.example": login }, { cacheKeyType: "Image" }));
    await provider();
    programs.write(
      "plugin",
      providerAnswer({ "r.example": { ...login, password: "new" } }, { cacheKeyType: "Global" }),
    );
    assert.deepEqual((await provider("r.example/org/app", true)).credentials, ["u:new"]);
    assert.deepEqual(await provider(), { credentials: ["u:new"], isReused: true, problem: undefined });
  });

  const faults: { name: string; body: string; problem: string }[] = [
    { name: "fails", body: "echo SECRET >&2; exit 1", problem: "ended with code 1" },
    { name: "talks no JSON", body: "echo SECRET", problem: "did not answer in JSON" },
    {
      name: "talks of something else",
      body: providerAnswer({}, { kind: "SECRET" }),
      problem: "did not answer as providers of its apiVersion do",
    },
    {
      name: "speaks another version",
      body: providerAnswer({}, { apiVersion: "credentialprovider.kubelet.k8s.io/v1beta1" }),
      problem: "did not answer as providers of its apiVersion do",
    },
    {
      name: "knows no cacheKeyType",
      body: providerAnswer({ "r.example": login }, { cacheKeyType: "SECRET" }),
      problem: "answered with a cacheKeyType that is none",
    },
    {
      name: "knows no duration",
      body: providerAnswer({ "r.example": login }, { cacheDuration: "SECRET" }),
      problem: "answered with a cacheDuration that is none",
    },
  ];
  for (const { name, body, problem } of faults) {
    test(`a plugin that ${name}`, async (t) => {
      const { configure, provider, programs, lines, warnings } = useCredentials(t);
      configure([{}]);
      programs.write("plugin", body);
      for (let i = 0; i < 2; i++) assert.deepEqual(await provider(), { credentials: [], isReused: false, problem });
      assert.equal(warnings().length, 1);
      assert.doesNotMatch(JSON.stringify(lines), /SECRET/);
    });
  }

  test("a plugin that has nothing: auth is null or empty", async (t) => {
    const { configure, provider, programs, warnings } = useCredentials(t);
    configure([{}]);
    for (const auth of [null, {}]) {
      programs.write("plugin", providerAnswer({}, { auth, cacheDuration: "0s" }));
      assert.deepEqual(await provider(), { credentials: [], isReused: false, problem: undefined });
    }
    assert.deepEqual(warnings(), []);
  });

  test("a plugin that wants tokens of service accounts is left out, with one line", async (t) => {
    const { configure, credentials, lines } = useCredentials(t);
    configure([{ name: "token", tokenAttributes: { serviceAccountTokenAudience: "x" } }, { name: "plain" }]);
    for (let i = 0; i < 3; i++) {
      const offers = await credentials.fromProviders("r.example", "x");
      assert.deepEqual(
        offers.map(({ source }) => source),
        ["credential provider plain"],
      );
    }
    assert.deepEqual(
      lines.map(({ level, provider }) => [level, provider]),
      [["info", "token"]],
    );
  });
});
