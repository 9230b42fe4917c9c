import { arch } from "node:os";
import { describeArtifact } from "../artifact/index.ts";
import { type ClientConfig, inspectOptions, parseClientCommand } from "../config/index.ts";
import { formatReference, platformOfMachine } from "../oci/index.ts";
import { openAccess, openClient } from "./client-access.ts";
import { inClientWords } from "./client-words.ts";
import type { CommandContext } from "./context.ts";
import { tellFirstFailure } from "./first-failure.ts";
import { formatReport, type Inspection, jsonReport } from "./inspect-report.ts";
import { readArtifact } from "./read-artifact.ts";

/** `oras-csi inspect REFERENCE`: what a reference is and becomes. Needs no driver and keeps nothing. */
export async function runInspect(context: CommandContext): Promise<number> {
  const { client, values } = parseClientCommand(inspectOptions, context);
  try {
    const inspection = await inspect(client, context);
    context.writeOutput(values.json ? jsonReport(inspection) : formatReport(inspection));
    return 0;
  } catch (error) {
    throw inClientWords(error);
  }
}

async function inspect(config: ClientConfig, context: CommandContext): Promise<Inspection> {
  const access = await openAccess(config, context);
  const client = openClient(access, context);
  try {
    const platform = config.platform ?? platformOfMachine("linux", arch());
    const choice = { platform, isAsked: config.platform !== undefined };
    const asker = { signal: context.stopSignal(), onFailedTry: tellFirstFailure(context.writeError) };
    const found = await readArtifact(client, access, choice, asker);
    const { digest, index, chosen } = found;
    return {
      reference: formatReference(config.reference),
      digest,
      index,
      platform,
      chosen: chosen && { ...chosen, description: describeArtifact(chosen.manifest, chosen.config) },
    };
  } finally {
    client.close();
  }
}
