import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { type CsiError, type Driver, Sandbox, type VolumeSpec } from "../driver/index.ts";
import { helperAnswer, Programs, providerAnswer } from "../helpers/programs.ts";
import { attributes, REAL } from "../integration/support.ts";
import { ProxyServer } from "../registry-client/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, type RegistryAuth } from "../registry/index.ts";

/** What a row does with the driver; `plant` makes a secret that must not turn up anywhere. */
interface World {
  readonly sandbox: Sandbox;
  readonly driver: Driver;
  /** The file of --docker-config. */
  readonly dockerConfig: string;
  /** Scripts in the driver's PATH; `plugin` is the node's credential provider. */
  readonly programs: Programs;
  /** Has `plugin` asked for a registry, and for no other. */
  askProviderFor(host: string): Promise<void>;
  /** Writes a file below --registry-hosts-dir. */
  writeHosts(path: string, text: string): Promise<void>;
  /** What the driver's HTTPS_PROXY and HTTP_PROXY name, with a password. */
  readonly proxy: ProxyServer;
  plant(): string;
  /** Looks for all secrets in the messages, the log, on the disk and in the metrics: now, and at the end anyway. */
  assertClean(): Promise<void>;
  /** Publishes a volume and unpublishes it; how it went (a code, or "OK") has to be `outcome`. */
  publish(spec: VolumeSpec, outcome: string | readonly string[]): Promise<void>;
}

const thing = artifact([fileLayer("a", "a\n"), fileLayer("b", "b\n")]);
const TOKENS = "csi.storage.k8s.io/serviceAccount.tokens";
const providersFor = (image: string) => `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: plugin
    matchImages: ["${image}"]
    defaultCacheDuration: 1h
    apiVersion: credentialprovider.kubelet.k8s.io/v1
`;
/** Short of the retries' own limit, so that a hopeless host is reported at the deadline, in one way or another. */
const PATIENCE = { timeoutMs: 5_000 };

/** Each kind of secret, where it comes from, and what goes wrong with it. New kinds of later issues get rows here. */
const rows: readonly { readonly name: string; readonly run: (world: World) => Promise<void> }[] = [
  ...(["basic", "bearer"] as const).map((kind) => ({
    name: `the pod's secret in all its forms, right and wrong: ${kind}`,
    run: async ({ plant, publish }: World) => {
      const [password, identityToken] = [plant(), plant()];
      await using registry = await startWith({ kind, users: { ann: { password, identityToken } } });
      const auth = base64(`ann:${password}`);
      const right: Record<string, string>[] = [
        { username: "ann", password },
        { ".dockerconfigjson": JSON.stringify({ auths: { [registry.host]: { auth } } }) },
        { ".dockercfg": JSON.stringify({ [registry.host]: { username: "ann", password } }) },
        ...(kind === "bearer"
          ? [{ ".dockerconfigjson": JSON.stringify({ auths: { [registry.host]: { identitytoken: identityToken } } }) }]
          : []),
      ];
      const asked = attributes(`${registry.host}/team/thing:v1`);
      for (const [i, secrets] of right.entries()) {
        await publish({ attributes: asked, secrets, namespace: `${kind}-${i}` }, "OK");
      }
      const wrong: Record<string, string>[] = [
        { username: "ann", password: plant() },
        { username: plant(), password: plant() },
        { ".dockerconfigjson": JSON.stringify({ auths: { [registry.host]: { auth: base64(`ann:${plant()}`) } } }) },
        { ".dockerconfigjson": JSON.stringify({ auths: { [registry.host]: { identitytoken: plant() } } }) },
        { username: "ann", password: `${plant()}\n${plant()}` },
      ];
      for (const secrets of wrong) await publish({ attributes: asked, secrets, namespace: "wrong" }, "UNAUTHENTICATED");
    },
  })),
  {
    name: "secrets that cannot be read",
    run: async ({ plant, publish }) => {
      const broken: Record<string, string>[] = [
        { ".dockerconfigjson": `{"auths": {"a.io": {"password": "${plant()}"` },
        { ".dockerconfigjson": JSON.stringify({ auths: plant() }) },
        { ".dockerconfigjson": JSON.stringify({ auths: { "127.0.0.1:9": { auth: base64(plant()) } } }) },
        { ".dockercfg": plant() },
        { username: plant() },
        { password: plant() },
        { username: "", password: plant() },
      ];
      for (const secrets of broken)
        await publish({ attributes: attributes("127.0.0.1:9/a/b"), secrets }, "INVALID_ARGUMENT");
    },
  },
  {
    name: "service account tokens, in the volume context and in the secrets",
    run: async ({ plant, publish }) => {
      await using registry = await startWith({ kind: "none" });
      const asked = attributes(`${registry.host}/team/thing:v1`);
      const tokens = () => ({
        [TOKENS]: JSON.stringify({ "": { token: plant(), expirationTimestamp: "2030-01-01T00:00:00Z" } }),
      });
      await publish({ attributes: { ...asked, ...tokens() }, secrets: tokens() }, "OK");
      await publish(
        { attributes: { ...asked, ...tokens(), "oras.nonsense": "1" }, secrets: tokens() },
        "INVALID_ARGUMENT",
      );
      await publish({ attributes: { ...asked, [TOKENS]: plant() }, secrets: { [TOKENS]: plant() } }, "OK");
      const missing = { ...asked, "oras.artifact.reference": `${registry.host}/team/none:v1` };
      await publish({ attributes: { ...missing, ...tokens() }, secrets: tokens() }, "NOT_FOUND");
    },
  },
  {
    name: "the node's docker config: right, wrong, half-written",
    run: async ({ plant, publish, dockerConfig }) => {
      const password = plant();
      await using registry = await startWith({ kind: "bearer", users: { ann: { password } } });
      const asked = attributes(`${registry.host}/team/thing:v1`);
      const entry = (secret: string) =>
        JSON.stringify({ auths: { [registry.host]: { auth: base64(`ann:${secret}`) } } });
      await writeFile(dockerConfig, entry(plant()));
      await publish({ attributes: asked, namespace: "node-wrong" }, "UNAUTHENTICATED");
      await writeFile(dockerConfig, entry(password));
      await publish({ attributes: asked, namespace: "node-right" }, "OK");
      await writeFile(dockerConfig, entry(plant()).slice(0, -10));
      await publish({ attributes: asked, namespace: "node-half" }, "OK");
      await writeFile(dockerConfig, "{}");
    },
  },
  {
    name: "what credential helpers say: right, wrong, in a failure, in no JSON",
    run: async ({ plant, publish, dockerConfig, programs }) => {
      const password = plant();
      const said: [body: string, outcome: string][] = [
        [helperAnswer("ann", password), "OK"],
        [helperAnswer("ann", plant()), "UNAUTHENTICATED"],
        [helperAnswer("<token>", plant()), "UNAUTHENTICATED"],
        [`echo ${plant()}; echo ${plant()} >&2; exit 1`, "UNAUTHENTICATED"],
        [`echo '{"Secret":"${plant()}'`, "UNAUTHENTICATED"],
        [`yes ${plant()}`, "UNAUTHENTICATED"],
      ];
      for (const [body, outcome] of said) {
        await using registry = await startWith({ kind: "bearer", users: { ann: { password } } });
        await writeFile(dockerConfig, JSON.stringify({ credHelpers: { [registry.host]: "test" } }));
        programs.write("docker-credential-test", body);
        await publish({ attributes: attributes(`${registry.host}/team/thing:v1`) }, outcome);
      }
      await writeFile(dockerConfig, "{}");
    },
  },
  {
    name: "what credential providers say: right, wrong, in a failure, in no JSON",
    run: async ({ plant, publish, programs, askProviderFor }) => {
      const password = plant();
      const answer = (secret: string, more?: object) =>
        providerAnswer({ ALL: { username: "ann", password: secret } }, more);
      const said: [body: string, outcome: string][] = [
        [answer(plant()), "UNAUTHENTICATED"],
        [answer(plant(), { cacheKeyType: plant() }), "UNAUTHENTICATED"],
        [answer(plant(), { cacheDuration: plant() }), "UNAUTHENTICATED"],
        [`echo ${plant()}; echo ${plant()} >&2; exit 1`, "UNAUTHENTICATED"],
        [`echo '{"auth":"${plant()}'`, "UNAUTHENTICATED"],
        [answer(password), "OK"],
      ];
      for (const [body, outcome] of said) {
        await using registry = await startWith({ kind: "basic", users: { ann: { password } } });
        await askProviderFor(registry.host);
        programs.write("plugin", body.replaceAll("ALL", registry.host));
        await publish({ attributes: attributes(`${registry.host}/team/thing:v1`) }, outcome);
      }
    },
  },
  {
    name: "headers and keys of hosts.toml: sent, refused, unreachable, half-written",
    run: async ({ plant, publish, writeHosts }) => {
      await using registry = await startWith({ kind: "none" });
      await using mirror = await startWith({ kind: "basic", users: {} });
      const folder = registry.host.replace(":", "_").concat("_");
      const asked = { attributes: attributes(`${registry.host}/team/thing:v1`, { "options.pullpolicy": "Always" }) };
      const deadPort = await unusedPort();
      const withHeader = (url: string) =>
        `[host."${url}"]\n[host."${url}".header]\nAuthorization = "Bearer ${plant()}"\nX-Key = ["${plant()}", "${plant()}"]\n`;
      const files = [
        withHeader(mirror.url),
        withHeader(`http://127.0.0.1:${deadPort}`),
        withHeader(`http://ann:${plant()}@127.0.0.1:${deadPort}`),
        withHeader(mirror.url).slice(0, -5),
        withHeader(mirror.url).replace("[host.", `[header]\nX = 5\nY = "${plant()}"\n[host.`),
        `[host."${mirror.url}?key=${plant()}"]\n`,
        `[host."https://127.0.0.1:${deadPort}"]\nclient = "key.pem"\n`,
      ];
      await writeHosts(`${folder}/key.pem`, `-----BEGIN PRIVATE KEY-----\n${plant()}\n-----END PRIVATE KEY-----\n`);
      for (const text of files) {
        await writeHosts(`${folder}/hosts.toml`, text);
        await publish(asked, ["OK", "ABORTED"]);
      }
    },
  },
  {
    name: "the proxy's password: used, refused, unreachable",
    run: async ({ publish, proxy }) => {
      // Once its password is right, but nobody is behind it.
      for (const [plainhttp, isOpen] of [
        ["true", false],
        ["false", false],
        ["false", true],
      ] as const) {
        proxy.isOpen = isOpen;
        const asked = attributes("registry.invalid/team/thing:v1", { "options.plainhttp": plainhttp });
        await publish({ attributes: asked }, ["UNAVAILABLE", "ABORTED"]);
      }
      await proxy[Symbol.asyncDispose]();
      await publish({ attributes: attributes("registry.invalid/team/thing:v1") }, ["UNAVAILABLE", "ABORTED"]);
    },
  },
  {
    name: "signed URLs that blobs are redirected to: followed, refused, cut, unreachable, looping",
    run: async ({ plant, publish }) => {
      await using registry = await startWith({ kind: "none" }, true);
      const asked = attributes(`${registry.host}/team/thing:v1`);
      const deadPort = await unusedPort();
      const signed = (base: string) => `${base}?X-Signature=${plant()}&token=${plant()}`;
      registry.fault = ({ origin }) =>
        origin === "blobs" ? { kind: "status", status: 403, body: `<Error><Key>${plant()}</Key></Error>` } : undefined;
      await publish({ attributes: asked, namespace: "signed" }, ["UNAVAILABLE", "ABORTED", "PERMISSION_DENIED"]);
      registry.fault = ({ origin }) => (origin === "blobs" ? { kind: "cut", afterBytes: 0 } : undefined);
      await publish({ attributes: asked, namespace: "signed" }, ["UNAVAILABLE", "ABORTED"]);
      const elsewhere = [
        () => signed(`http://127.0.0.1:${deadPort}/blob`),
        () => signed(`http://ann:${plant()}@127.0.0.1:${deadPort}/blob`),
        () => signed("http://no-such-host.invalid/blob"),
        () => signed(`https://127.0.0.1:${deadPort}/blob`),
        () => signed(`ftp://127.0.0.1/${plant()}`),
        () => signed(`${registry.url}/v2/team/thing/blobs/x`),
        () => `http://[${plant()}`,
      ];
      for (const location of elsewhere) {
        registry.fault = ({ path }) =>
          path.includes("/blobs/") ? { kind: "status", status: 307, headers: { location: location() } } : undefined;
        await publish({ attributes: asked, namespace: "signed" }, [
          "UNAVAILABLE",
          "ABORTED",
          "NOT_FOUND",
          "FAILED_PRECONDITION",
        ]);
      }
      registry.fault = undefined;
      await publish({ attributes: asked, namespace: "signed" }, "OK");
    },
  },
  {
    name: "bodies of errors: pages, JSON beside code and message, texts with signed URLs in them",
    run: async ({ plant, publish }) => {
      await using registry = await startWith({ kind: "none" });
      const bodies = [
        () => `<html><body>${plant()}</body></html>`,
        () => plant(),
        () =>
          JSON.stringify({ errors: [{ code: "DENIED", message: "no", detail: { token: plant() } }], more: plant() }),
        () => JSON.stringify({ errors: [{ code: "X", message: `see https://a.io/b?token=${plant()} and\nmore` }] }),
        () => JSON.stringify({ error: { token: plant() }, token: plant() }),
      ];
      const asked = attributes(`${registry.host}/team/thing:v1`, { "options.pullpolicy": "Always" });
      const codes = ["UNAVAILABLE", "ABORTED", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"];
      const pairs = [403, 404].flatMap((status) => bodies.map((body) => ({ status, body })));
      for (const status of [400, 401, 418, 500]) pairs.push({ status, body: plant });
      for (const { status, body } of pairs) {
        registry.fault = () => ({ kind: "status", status, body: body() });
        await publish({ attributes: asked }, codes);
      }
    },
  },
  {
    name: "challenges with secrets in them, and token servers that fail",
    run: async ({ plant, publish }) => {
      await using registry = await startWith({ kind: "none" });
      const deadPort = await unusedPort();
      const challenges = [
        () => `Bearer realm="${registry.url}/token?key=${plant()}",service="s",scope="repository:team/thing:pull"`,
        () => `Bearer realm="http://ann:${plant()}@127.0.0.1:${deadPort}/token?key=${plant()}"`,
        () => `Bearer realm="no url ${plant()}"`,
        () => `Negotiate ${plant()}`,
        () => `Basic realm="${plant()}"`,
      ];
      const secrets = { username: "ann", password: plant() };
      for (const challenge of challenges) {
        registry.fault = ({ origin }) =>
          origin === "token"
            ? { kind: "status", status: 400, body: JSON.stringify({ error: "bad", access_token: plant() }) }
            : { kind: "status", status: 401, headers: { "www-authenticate": challenge() } };
        const asked = attributes(`${registry.host}/team/thing:v1`);
        await publish({ attributes: asked, secrets }, ["UNAVAILABLE", "UNAUTHENTICATED", "ABORTED"]);
      }
    },
  },
  {
    name: "what is on the disk, in the log and in the progress while a pull runs, and after a kill",
    run: async ({ plant, sandbox, driver, assertClean }) => {
      const password = plant();
      await using registry = await startWith({ kind: "bearer", users: { ann: { password } } }, true);
      const forever = new Promise<void>(() => undefined);
      registry.fault = ({ origin }) =>
        origin === "blobs" ? { kind: "hold", afterBytes: 1, until: forever } : undefined;
      const spec = { attributes: attributes(`${registry.host}/team/thing:v1`), secrets: { username: "ann", password } };
      const volume = sandbox.kubelet.volume(spec);
      await assert.rejects(volume.publish({ timeoutMs: 5_000 }), { code: "ABORTED" });
      await assertClean();
      await driver.stop("SIGKILL");
      await assertClean();
    },
  },
];

test(
  "no secret of any kind gets into a log at trace level, onto the disk, into a message or a metric",
  REAL,
  async (t) => {
    const secrets: string[] = ["embedded-token-", "blob-store-secret"];
    const plant = () => {
      const secret = `marker${randomBytes(12).toString("hex")}`;
      secrets.push(secret);
      return secret;
    };
    const login = `robot:${plant()}`;
    await using proxy = await ProxyServer.start({ port: await unusedPort(), login });
    const proxyUrl = `http://${login}@${proxy.host}`;
    await using aside = await Sandbox.create();
    const programs = new Programs(join(aside.folder, "bin"));
    const path = `${programs.folder}:${process.env["PATH"] ?? ""}`;
    await using sandbox = await Sandbox.create({ env: { HTTPS_PROXY: proxyUrl, http_proxy: proxyUrl, PATH: path } });
    const [dockerConfig, providers] = [join(aside.folder, "config.json"), join(aside.folder, "providers.yaml")];
    await writeFile(dockerConfig, "{}");
    await writeFile(providers, providersFor("nobody.invalid"));
    const hostsDir = join(aside.folder, "hosts");
    const port = await unusedPort();
    const driver = await sandbox.startDriver([
      "--log-level=trace",
      `--docker-config=${dockerConfig}`,
      `--image-credential-provider-config=${providers}`,
      `--image-credential-provider-bin-dir=${programs.folder}`,
      `--registry-hosts-dir=${hostsDir}`,
      `--http-endpoint=127.0.0.1:${port}`,
    ]);
    const messages: string[] = [];
    let lastMetrics = "";
    const world: World = {
      sandbox,
      driver,
      dockerConfig,
      programs,
      proxy,
      plant,
      askProviderFor: (host) => writeFile(providers, providersFor(host)),
      async writeHosts(name, text) {
        await mkdir(join(hostsDir, name, ".."), { recursive: true });
        await writeFile(join(hostsDir, name), text);
      },
      async assertClean() {
        // A driver that was killed has none.
        lastMetrics = (await metricsOf(port)) || lastMetrics;
        const texts = [...messages, driver.output, lastMetrics, ...(await textsBelow(sandbox.dataDir))];
        for (const form of secrets.flatMap(formsOf)) {
          for (const text of texts) {
            const at = text.indexOf(form);
            assert.ok(at < 0, `a secret is in: ${text.slice(Math.max(0, at - 1000), at + 500)}`);
          }
        }
      },
      async publish(spec, outcome) {
        const volume = sandbox.kubelet.volume(spec);
        const code = await volume.publish(Array.isArray(outcome) ? PATIENCE : undefined).then(
          () => "OK",
          (reason: CsiError) => {
            messages.push(reason.message);
            return reason.code;
          },
        );
        assert.ok([outcome].flat().includes(code), `${code}: ${messages.at(-1)}`);
        if (code === "OK" || code === "UNAVAILABLE" || code === "ABORTED") await volume.unpublish();
      },
    };
    for (const { name, run } of rows) {
      await t.test(name, async () => {
        await run(world);
        await world.assertClean();
      });
    }
    for (const text of [messages.join(), driver.output, (await textsBelow(sandbox.dataDir)).join()])
      assert.match(text, /team\/thing/, "the search would have found something");
    assert.match(lastMetrics, /oras_csi_/);
  },
);

async function startWith(auth: RegistryAuth, redirectBlobs = false): Promise<EmbeddedRegistry> {
  const registry = await EmbeddedRegistry.start({ auth, redirectBlobs });
  for (const { digest, bytes } of thing.blobs) registry.content.putBlob("team/thing", digest, bytes);
  registry.content.putManifest("team/thing", "v1", thing);
  return registry;
}

/** A secret as it is, and as base64 shows it, wherever in a longer text it stands. */
function formsOf(secret: string): string[] {
  const shifted = ["", "x", "xx"].map((before) => base64(before + secret).slice(before === "" ? 0 : 4, -4));
  return [secret, ...shifted];
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** The content of all files below a folder, their names, and where links lead; some may go meanwhile. */
async function textsBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const texts = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSymbolicLink()) return `${path} -> ${await readlink(path).catch(() => "")}`;
    return entry.isFile() ? `${path}\n${await readFile(path, "latin1").catch(() => "")}` : path;
  });
  return Promise.all(texts);
}

/** The page of metrics; empty when the driver is gone. */
function metricsOf(port: number): Promise<string> {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path: "/metrics", agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.once("end", () => resolve(text));
    });
    request.once("error", () => resolve(""));
  });
}

function unusedPort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
