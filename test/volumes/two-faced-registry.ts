import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { EmbeddedRegistry, type EmbeddedRegistryOptions } from "../registry/index.ts";

/** A registry's content behind one port, over http and over https. */
export interface TwoFacedRegistry extends AsyncDisposable {
  readonly host: string;
  readonly http: EmbeddedRegistry;
  readonly https: EmbeddedRegistry;
}

const TLS_HANDSHAKE = 0x16;

/** Starts one: the first byte that a client sends says how it speaks. */
export async function startTwoFaced(
  tls: NonNullable<EmbeddedRegistryOptions["tls"]>,
  options: Omit<EmbeddedRegistryOptions, "tls"> = {},
): Promise<TwoFacedRegistry> {
  const http = await EmbeddedRegistry.start(options);
  const https = await EmbeddedRegistry.start({ ...options, tls });
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer((client) => {
    sockets.add(client);
    client.on("error", () => undefined);
    client.once("data", (first) => {
      client.pause();
      const port = Number((first[0] === TLS_HANDSHAKE ? https : http).host.split(":").at(-1));
      const upstream = connect(port, "127.0.0.1");
      sockets.add(upstream);
      upstream.on("error", () => client.destroy());
      upstream.write(first);
      client.pipe(upstream).pipe(client);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    http,
    https,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await http.close();
      await https.close();
    },
  };
}
