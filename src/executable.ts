import { runBundle } from "./run-bundle.ts";

// What the single executable begins with.
runBundle("main");
