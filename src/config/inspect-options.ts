import { type ClientValues, clientOptions } from "./client-options.ts";
import type { OptionTable } from "./option.ts";
import { boolean } from "./parsers.ts";

/** What the flags of `inspect` say. */
export interface InspectValues extends ClientValues {
  readonly json: boolean;
}

/** The options of `inspect`. */
export const inspectOptions: OptionTable<InspectValues> = {
  ...clientOptions,
  json: {
    description: "one JSON object instead of text",
    parser: boolean(),
    defaultValue: false,
    defaultText: "false",
  },
};
