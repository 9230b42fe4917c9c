// `npm run demo`: builds the driver, starts it beside a small registry, and plays kubelet: two pods, one download. All of
// it happens in one folder and in a mount namespace of its own; nothing of it is left afterwards.
import { createPrinter, formatMs } from "./demo/printer.ts";
import { INTERRUPTED, runInNamespace, STAGE_VARIABLE } from "./demo/namespace.ts";
import { playStory } from "./demo/story.ts";
import { ensureFreshBuild } from "./fresh-build.ts";

const printer = createPrinter();

try {
  const stage = process.env[STAGE_VARIABLE];
  process.exitCode = stage === undefined ? await outside() : await inside(stage);
} catch (reason) {
  process.stderr.write(`\n${reason instanceof Error ? reason.message : String(reason)}\n`);
  process.exitCode = 1;
}

async function outside(): Promise<number> {
  printer.line("oras-csi: one artifact, two pods, one download");
  ensureFreshBuild(printer.detail);
  return runInNamespace(import.meta.filename);
}

async function inside(stage: string): Promise<number> {
  const stop = new AbortController();
  // Not once: a terminal sends SIGINT to all processes, and the outer run hands on what it gets.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  const started = performance.now();
  try {
    await playStory(printer, stage, stop.signal);
  } catch (reason) {
    if (!stop.signal.aborted) throw reason;
    printer.line("stopped; everything is taken away again");
    return INTERRUPTED;
  }
  printer.line("");
  printer.line(`that was all, in ${formatMs(performance.now() - started)}; README.md goes on with a pod of your own.`);
  return 0;
}
