import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf } from "../base/index.ts";
import { isJsonObject } from "../oci/index.ts";

/** What kubelet writes beside each target. */
export interface VolData {
  readonly driverName: string;
  readonly volumeId: string;
}

const VOL_DATA = "vol_data.json";

/** Whose volume kubelet says a target is; undefined where it says nothing, or nothing that can be read. */
export async function readVolData(targetPath: string): Promise<VolData | undefined> {
  try {
    const value: unknown = JSON.parse(await fs.readFile(join(dirname(targetPath), VOL_DATA), "utf8"));
    if (!isJsonObject(value)) return undefined;
    const { driverName, volumeHandle } = value;
    if (typeof driverName !== "string" || typeof volumeHandle !== "string") return undefined;
    return { driverName, volumeId: volumeHandle };
  } catch (error) {
    // What is half written, not JSON or no file at all names nobody.
    if (error instanceof SyntaxError || ["ENOENT", "ENOTDIR", "EISDIR"].includes(errnoOf(error) ?? "")) {
      return undefined;
    }
    throw error;
  }
}
