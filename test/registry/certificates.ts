import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** What an https registry needs, as PEM: the certificate is good for 127.0.0.1, localhost and registry.test. */
export interface Certificates {
  /** The authority that signed the certificate: what `--ca-file` gets. */
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
}

const run = promisify(execFile);

/** Makes an authority of its own and a server certificate signed by it, with the openssl command. */
export async function createCertificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-certificates-"));
  const at = (name: string) => join(folder, name);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  try {
    const asAuthority = ["-x509", "-subj", "/CN=oras-csi test authority", "-addext", "keyUsage=critical,keyCertSign"];
    await run("openssl", ["req", ...newKey, ...asAuthority, "-keyout", at("ca.key"), "-out", at("ca.pem")]);
    await writeFile(at("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.test\n");
    await run("openssl", ["req", ...newKey, "-subj", "/CN=localhost", "-keyout", at("key.pem"), "-out", at("csr.pem")]);
    const signer = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2"];
    await run("openssl", [
      "x509",
      "-req",
      "-in",
      at("csr.pem"),
      ...signer,
      "-extfile",
      at("names"),
      "-out",
      at("cert.pem"),
    ]);
    const read = (name: string) => readFile(at(name), "utf8");
    return { ca: await read("ca.pem"), key: await read("key.pem"), cert: await read("cert.pem") };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
