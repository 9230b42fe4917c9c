// Serves the test driver on the socket named by the first argument until its standard input ends: a program of its own,
// for tests that need another process or another runtime.
import { createLogger, systemClock } from "../../src/base/index.ts";
import { GrpcServer } from "../../src/server/index.ts";
import { testRoutes } from "./csi-server.ts";
import { ScriptedVolumes } from "./scripted-volumes.ts";

const logger = createLogger({ level: "error", format: "json", write: (line) => void process.stderr.write(line) });
const volumes = new ScriptedVolumes();
const routes = testRoutes(volumes, logger);
const server = await GrpcServer.open({ socketPath: process.argv[2] ?? "", routes, clock: systemClock, logger });
// A publish is answered only once the server stops.
const stopped = Promise.withResolvers<void>();
volumes.onPublish = () => {
  process.stdout.write("publishing\n");
  return stopped.promise;
};
process.stdout.write("listening\n");
process.stdin.resume();
process.stdin.once("end", () => {
  const closed = server.close();
  stopped.resolve();
  void closed.then(() => process.stdout.write("closed\n"));
});
