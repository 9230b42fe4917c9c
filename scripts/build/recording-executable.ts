import { writeFileSync } from "node:fs";
import { runBundle } from "../../src/run-bundle.ts";

// What the executable of recordCode() begins with: at SIGUSR2 it writes the code that V8 has compiled so far, and ends.
const script = runBundle("main");
process.once("SIGUSR2", () => {
  writeFileSync(process.env["ORAS_CSI_CODE_FILE"] ?? "", script.createCachedData());
  process.exit(0);
});
