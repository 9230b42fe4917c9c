import assert from "node:assert/strict";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { useCredentials } from "../../../test/helpers/credentials-bench.ts";
import { helperAnswer } from "../../../test/helpers/programs.ts";

const ask = "docker-credential-ask";

describe("docker credential helpers", () => {
  test("auths, then the registry's own helper, then the store; none runs before it is asked", async (t) => {
    const { credentials, docker, programs } = useCredentials(t);
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
      const { docker, helper, programs } = useCredentials(t);
      programs.write(ask, helperAnswer("u", "p:q"));
      docker({ credHelpers: { [key]: "ask" } });
      assert.deepEqual(await helper(registry), { credentials: ["u:p:q"], isReused: false, problem: undefined });
      assert.deepEqual(programs.runs(ask), [`get <${asked}>`]);
    });
  }

  test("the helper with the longest prefix is asked", async (t) => {
    const { docker, credentials } = useCredentials(t);
    docker({ credHelpers: { "r.example": "host", "r.example/org": "org", "r.example/other": "other" } });
    const [offer] = await credentials.fromDockerConfig("r.example", "org/app");
    assert.match(offer?.source ?? "", /docker-credential-org$/);
  });

  test("an identity token", async (t) => {
    const { docker, helper, programs } = useCredentials(t);
    programs.write(ask, helperAnswer("<token>", "it"));
    docker({ credsStore: "ask" });
    assert.deepEqual((await helper()).credentials, ["identity-token"]);
  });

  test("no credentials are no fault", async (t) => {
    const { docker, helper, programs, warnings } = useCredentials(t);
    docker({ credsStore: "ask" });
    for (const body of ["echo credentials not found in native keychain; exit 1", helperAnswer("", "")]) {
      programs.write(ask, body);
      assert.deepEqual(await helper("r.example", true), { credentials: [], isReused: false, problem: undefined });
    }
    assert.deepEqual(warnings(), []);
  });

  test("an answer is used again for a minute, and dropped when a fresh one is wanted", async (t) => {
    const { docker, helper, programs, clock } = useCredentials(t);
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
    const { docker, helper, programs } = useCredentials(t);
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
      const { docker, helper, programs, lines, warnings } = useCredentials(t);
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
    const { docker, helper, programs } = useCredentials(t);
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
    const { docker, helper, programs, clock, warnings } = useCredentials(t);
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
