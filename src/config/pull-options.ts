import { type ClientValues, clientOptions } from "./client-options.ts";
import type { OptionTable } from "./option.ts";
import { boolean, integer, namespace, path } from "./parsers.ts";

/** What the flags of `pull` say. */
export interface PullValues extends ClientValues {
  readonly output: string | undefined;
  readonly concurrency: number;
  readonly json: boolean;
  readonly dataDir: string | undefined;
  readonly namespace: string | undefined;
}

/** The options of `pull`. */
export const pullOptions: OptionTable<PullValues> = {
  output: {
    description: "folder that the files are put into; files of the same name are replaced, others stay",
    parser: path(),
    defaultValue: undefined,
    defaultText: "the working directory; nowhere with --data-dir",
    short: "o",
  },
  ...clientOptions,
  concurrency: {
    description: "blobs at once",
    parser: integer(1, 64),
    defaultValue: 4,
    defaultText: "4",
  },
  json: {
    description: "one JSON object about what was pulled instead of text",
    parser: boolean(),
    defaultValue: false,
    defaultText: "false",
  },
  dataDir: {
    description: "data dir of a driver whose cache is used, and filled; without it no cache is kept",
    parser: path(),
    defaultValue: undefined,
    defaultText: "unset",
  },
  namespace: {
    description: "namespace whose pods may then have the artifact from the cache; * for all; needs --data-dir",
    parser: namespace(),
    defaultValue: undefined,
    defaultText: "nobody's permission is recorded",
  },
};
