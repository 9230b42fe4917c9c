// `npx node bench/throttle-proxy.ts PORT BYTES_PER_SECOND`: a process of its own that hands connections on to a port of
// this machine, each with so many bytes a second towards the client. Prints its own port.
import { connect, createServer, type Socket } from "node:net";

const [port = "", bytesPerSecond = ""] = process.argv.slice(2);
/** A share of the second: small enough to be smooth, large enough for timers. */
const SLICE_MS = 10;
const SLICE_BYTES = (Number(bytesPerSecond) * SLICE_MS) / 1000;

const server = createServer((client) => {
  const upstream = connect(Number(port), "127.0.0.1");
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    one.on("error", () => other.destroy()).on("close", () => other.destroy());
  }
  client.pipe(upstream);
  throttle(upstream, client);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(typeof address === "object" ? address?.port : address);
});

/** Hands on what comes, and rests as long as that should have taken. */
function throttle(from: Socket, to: Socket): void {
  let allowedAtMs = performance.now();
  from.on("data", (chunk: Buffer) => {
    to.write(chunk);
    allowedAtMs = Math.max(allowedAtMs, performance.now() - SLICE_MS) + (chunk.length / SLICE_BYTES) * SLICE_MS;
    const restMs = allowedAtMs - performance.now();
    if (restMs < SLICE_MS && !to.writableNeedDrain) return;
    from.pause();
    const resume = () => from.resume();
    if (restMs >= SLICE_MS) setTimeout(resume, restMs);
    else to.once("drain", resume);
  });
  from.on("end", () => to.end());
}
