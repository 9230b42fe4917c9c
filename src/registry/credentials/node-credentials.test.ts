import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { useLog } from "../../../test/helpers/log-lines.ts";
import { helperAnswer, Programs, providerAnswer } from "../../../test/helpers/programs.ts";
import { useTempFolder } from "../../../test/helpers/temp-folder.ts";
import { ManualClock } from "../../../test/registry-client/index.ts";
import type { CredentialOffer, DeferredCredential } from "../credential.ts";
import { NodeCredentials } from "./node-credentials.ts";

const ask = "docker-credential-ask";

function use(t: TestContext) {
  const folder = useTempFolder(t);
  const programs = new Programs(join(folder, "bin"));
  const path = process.env["PATH"];
  process.env["PATH"] = `${programs.folder}:${path}`;
  t.after(() => {
    process.env["PATH"] = path;
  });
  const [dockerConfig, config] = [join(folder, "config.json"), join(folder, "providers.yaml")];
  const { log, lines } = useLog();
  const clock = new ManualClock();
  const providers = { config, binDir: programs.folder };
  const credentials = new NodeCredentials({ dockerConfig, providers, clock, log });
  writeFileSync(dockerConfig, "{}");
  const configure = (changes: object[]) => {
    const whole = changes.map((change) => ({
      name: "plugin",
      matchImages: ["r.example"],
      defaultCacheDuration: "1h",
      apiVersion: "credentialprovider.kubelet.k8s.io/v1",
      ...change,
    }));
    const kind = { apiVersion: "kubelet.config.k8s.io/v1", kind: "CredentialProviderConfig" };
    writeFileSync(config, JSON.stringify({ ...kind, providers: whole }));
  };
  configure([]);
  const unveil = async (offer: CredentialOffer | undefined, isFresh = false) => {
    assert.equal(offer?.kind, "deferred");
    const found = await credentials.unveil(offer as DeferredCredential, isFresh);
    const shown = found.credentials.map((one) =>
      one.kind === "password" ? `${one.username}:${one.password}` : one.kind,
    );
    return { ...found, credentials: shown };
  };
  return {
    programs,
    clock,
    lines,
    credentials,
    configure,
    unveil,
    docker: (value: object) => writeFileSync(dockerConfig, JSON.stringify(value)),
    /** Asks the first helper for a registry. */
    async helper(registry = "r.example", isFresh = false) {
      const offers = await credentials.fromDockerConfig(registry, "org/app");
      return unveil(
        offers.find(({ kind }) => kind === "deferred"),
        isFresh,
      );
    },
    async provider(image = "r.example/org/app", isFresh = false) {
      const slash = image.indexOf("/");
      const [offer] = await credentials.fromProviders(image.slice(0, slash), image.slice(slash + 1));
      return unveil(offer, isFresh);
    },
    warnings: () => lines.filter(({ level }) => level === "warn"),
  };
}

describe("docker credential helpers", () => {
  test("auths, then the registry's own helper, then the store; none runs before it is asked", async (t) => {
    const { credentials, docker, programs } = use(t);
    for (const name of [ask, "docker-credential-store"]) programs.write(name, helperAnswer("u", "p"));
    docker({ auths: { "r.example": { auth: btoa("a:b") } }, credHelpers: { "r.example": "ask" }, credsStore: "store" });
    const offers = await credentials.fromDockerConfig("r.example", "org/app");
    assert.deepEqual(
      offers.map(({ source }) => source),
      [
        "--docker-config",
        "--docker-config's helper docker-credential-ask",
        "--docker-config's helper docker-credential-store",
      ],
    );
    assert.deepEqual(
      (await credentials.fromDockerConfig("other.example", "x")).map(({ source }) => source),
      ["--docker-config's helper docker-credential-store"],
    );
    assert.deepEqual([programs.runs(ask), programs.runs("docker-credential-store")], [[], []]);
  });

  const servers: { key: string; registry: string; asked: string }[] = [
    { key: "r.example", registry: "r.example", asked: "r.example" },
    { key: "https://R.example/v2/", registry: "r.example", asked: "r.example" },
    { key: "r.example:5000", registry: "r.example:5000", asked: "r.example:5000" },
    {
      key: "*.dkr.ecr.eu-west-1.amazonaws.com",
      registry: "1.dkr.ecr.eu-west-1.amazonaws.com",
      asked: "1.dkr.ecr.eu-west-1.amazonaws.com",
    },
    { key: "docker.io", registry: "docker.io", asked: "https://index.docker.io/v1/" },
    { key: "https://index.docker.io/v1/", registry: "docker.io", asked: "https://index.docker.io/v1/" },
  ];
  for (const { key, registry, asked } of servers) {
    test(`a helper for ${key} is asked for ${asked}, on stdin`, async (t) => {
      const { docker, helper, programs } = use(t);
      programs.write(ask, helperAnswer("u", "p:q"));
      docker({ credHelpers: { [key]: "ask" } });
      assert.deepEqual(await helper(registry), { credentials: ["u:p:q"], isReused: false, problem: undefined });
      assert.deepEqual(programs.runs(ask), [`get <${asked}>`]);
    });
  }

  test("the helper with the longest prefix is asked", async (t) => {
    const { docker, credentials } = use(t);
    docker({ credHelpers: { "r.example": "host", "r.example/org": "org", "r.example/other": "other" } });
    const [offer] = await credentials.fromDockerConfig("r.example", "org/app");
    assert.match(offer?.source ?? "", /docker-credential-org$/);
  });

  test("an identity token", async (t) => {
    const { docker, helper, programs } = use(t);
    programs.write(ask, helperAnswer("<token>", "it"));
    docker({ credsStore: "ask" });
    assert.deepEqual((await helper()).credentials, ["identity-token"]);
  });

  test("no credentials are no fault", async (t) => {
    const { docker, helper, programs, warnings } = use(t);
    docker({ credsStore: "ask" });
    for (const body of ["echo credentials not found in native keychain; exit 1", helperAnswer("", "")]) {
      programs.write(ask, body);
      assert.deepEqual(await helper("r.example", true), { credentials: [], isReused: false, problem: undefined });
    }
    assert.deepEqual(warnings(), []);
  });

  test("an answer is used again for a minute, and dropped when a fresh one is wanted", async (t) => {
    const { docker, helper, programs, clock } = use(t);
    docker({ credsStore: "ask" });
    programs.write(ask, helperAnswer("u", "one"));
    assert.deepEqual(await helper(), { credentials: ["u:one"], isReused: false, problem: undefined });
    programs.write(ask, helperAnswer("u", "two"));
    assert.deepEqual(await helper(), { credentials: ["u:one"], isReused: true, problem: undefined });
    assert.deepEqual((await helper("r.example", true)).credentials, ["u:two"]);
    programs.write(ask, helperAnswer("u", "three"));
    clock.advance(60_000);
    assert.deepEqual((await helper()).credentials, ["u:three"]);
  });

  test("many who ask at once share one run", async (t) => {
    const { docker, helper, programs } = use(t);
    docker({ credsStore: "ask" });
    programs.write(ask, `sleep 0.2; ${helperAnswer("u", "p")}`);
    const found = await Promise.all(Array.from({ length: 10 }, () => helper()));
    assert.ok(found.every(({ credentials }) => credentials[0] === "u:p"));
    assert.equal(programs.runs(ask).length, 1);
  });

  const faults: { name: string; body: string; problem: string }[] = [
    { name: "fails", body: "echo SECRET; exit 3", problem: "ended with code 3" },
    { name: "is killed", body: "kill -KILL $$", problem: "was ended by SIGKILL" },
    { name: "talks no JSON", body: "echo SECRET", problem: "did not answer in JSON" },
    { name: "talks other JSON", body: "echo '[1]'", problem: "did not answer as helpers do" },
    {
      name: "answers with other types",
      body: `echo '{"Username":1,"Secret":["SECRET"]}'`,
      problem: "did not answer as helpers do",
    },
    { name: "says nothing", body: "", problem: "did not answer in JSON" },
    { name: "talks too much", body: "yes SECRET", problem: "said more than 1 MB" },
  ];
  for (const { name, body, problem } of faults) {
    test(`a helper that ${name} is told once, without what it said`, async (t) => {
      const { docker, helper, programs, lines, warnings } = use(t);
      docker({ credsStore: "ask" });
      programs.write(ask, body);
      for (let i = 0; i < 2; i++) assert.deepEqual(await helper(), { credentials: [], isReused: false, problem });
      assert.equal(programs.runs(ask).length, 2);
      assert.deepEqual(
        warnings().map((line) => [line["program"], line["problem"]]),
        [["--docker-config's helper docker-credential-ask", problem]],
      );
      assert.doesNotMatch(JSON.stringify(lines), /SECRET/);
    });
  }

  test("helpers that are not there, or cannot be run, or have no name", async (t) => {
    const { docker, helper, programs } = use(t);
    docker({ credsStore: "missing" });
    assert.equal((await helper()).problem, "is not there");
    programs.write("docker-credential-locked", "");
    chmodSync(join(programs.folder, "docker-credential-locked"), 0o644);
    docker({ credsStore: "locked" });
    assert.match((await helper()).problem ?? "", /^(cannot be started \(EACCES\)|is not there)$/);
    docker({ credsStore: "../bin/sh" });
    assert.equal((await helper()).problem, "has a name that no program has");
  });

  test("a helper that hangs is ended with all that it started, and left alone for a minute", async (t) => {
    const { docker, helper, programs, clock, warnings } = use(t);
    docker({ credsStore: "ask" });
    programs.write(ask, `sleep 1000 & echo $! > ${programs.folder}/child; wait`);
    const hanging = helper();
    while (programs.runs(ask).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const child = () => Number(readFileSync(join(programs.folder, "child"), "utf8"));
    while (!Number.isInteger(tryOr(child, Number.NaN)) || tryOr(child, 0) === 0)
      await new Promise((resolve) => setTimeout(resolve, 5));
    clock.advance(10_000);
    assert.equal((await hanging).problem, "did not answer within 10 s");
    while (isRunning(child())) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal((await helper("other.example")).problem, "did not answer within 10 s");
    assert.equal(programs.runs(ask).length, 1);
    assert.equal(warnings().length, 1);
    programs.write(ask, helperAnswer("u", "p"));
    clock.advance(60_000);
    assert.deepEqual((await helper()).credentials, ["u:p"]);
  });
});

describe("credential provider plugins", () => {
  const login = { username: "u", password: "p" };

  test("a plugin gets the image without its tag on stdin, its arguments and environment", async (t) => {
    const { configure, provider, programs } = use(t);
    configure([{ args: ["get", "x y"], env: [{ name: "WHO", value: "robot" }] }]);
    programs.write("plugin", `test "$WHO" = robot && ${providerAnswer({ "r.example": login })}`);
    assert.deepEqual(await provider(), { credentials: ["u:p"], isReused: false, problem: undefined });
    const request = `{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"r.example/org/app"}`;
    assert.deepEqual(programs.runs("plugin"), [`get x y <${request}>`]);
  });

  test("only the plugins whose patterns match are offered, in the order of the file", async (t) => {
    const { configure, credentials } = use(t);
    configure([{ name: "b", matchImages: ["*.example"] }, { name: "c", matchImages: ["x.io"] }, { name: "a" }]);
    const sources = (await credentials.fromProviders("r.example", "x")).map(({ source }) => source);
    assert.deepEqual(sources, ["credential provider b", "credential provider a"]);
  });

  test("of the logins those that match, the most exact first", async (t) => {
    const { configure, provider, programs } = use(t);
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
      const { configure, provider, programs } = use(t);
      configure([{ matchImages: ["*.example"] }]);
      programs.write("plugin", providerAnswer({ "*.example": login }, { cacheKeyType: type }));
      await provider();
      for (const image of same) assert.equal((await provider(image)).isReused, true, image);
      for (const image of other) assert.equal((await provider(image)).isReused, false, image);
      assert.equal(programs.runs("plugin").length, 1 + other.length);
    });
  }

  test("how long an answer is kept: what it says, else what the config says, else not at all", async (t) => {
    const { configure, provider, programs, clock } = use(t);
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
    const { configure, provider, programs } = use(t);
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
      const { configure, provider, programs, lines, warnings } = use(t);
      configure([{}]);
      programs.write("plugin", body);
      for (let i = 0; i < 2; i++) assert.deepEqual(await provider(), { credentials: [], isReused: false, problem });
      assert.equal(warnings().length, 1);
      assert.doesNotMatch(JSON.stringify(lines), /SECRET/);
    });
  }

  test("a plugin that has nothing: auth is null or empty", async (t) => {
    const { configure, provider, programs, warnings } = use(t);
    configure([{}]);
    for (const auth of [null, {}]) {
      programs.write("plugin", providerAnswer({}, { auth, cacheDuration: "0s" }));
      assert.deepEqual(await provider(), { credentials: [], isReused: false, problem: undefined });
    }
    assert.deepEqual(warnings(), []);
  });

  test("a plugin that wants tokens of service accounts is left out, with one line", async (t) => {
    const { configure, credentials, lines } = use(t);
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

function isRunning(pid: number): boolean {
  // A zombie that nobody has waited for yet does not run.
  return tryOr(() => !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8")), false);
}

function tryOr<T>(run: () => T, otherwise: T): T {
  try {
    return run();
  } catch {
    return otherwise;
  }
}
