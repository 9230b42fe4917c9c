import { describeError, type FileDraft, type Logger } from "../base/index.ts";
import type { Records, VolumeRecord } from "./records.ts";

/** What drafts of records need. */
export interface RecordDraftOptions {
  readonly records: Pick<Records, "ofVolume" | "draft" | "fill">;
  readonly log: Logger;
}

/** The file of a record that a publish is likely to put, made before more is known than the volume's id. */
export class RecordDraft implements AsyncDisposable {
  readonly #options: RecordDraftOptions;
  #making: Promise<FileDraft | undefined> = Promise.resolve(undefined);
  #hasBegun = false;

  private constructor(options: RecordDraftOptions) {
    this.#options = options;
  }

  /** Begins the file, unless the volume is published already somewhere: most often nothing is to be put then. */
  static begin(options: RecordDraftOptions, volumeId: string): RecordDraft {
    const draft = new RecordDraft(options);
    if (options.records.ofVolume(volumeId).length === 0) draft.#make();
    return draft;
  }

  /** It will be put, most likely as given: it is written to disk meanwhile. To be called once. */
  expect(record: VolumeRecord | undefined): void {
    if (!this.#hasBegun) this.#make();
    if (record !== undefined) this.#making = this.#making.then((file) => this.#fill(file, record));
  }

  /** The file; undefined if there is none. */
  get file(): Promise<FileDraft | undefined> {
    return this.#making;
  }

  /** Takes the file away, unless it became a record. Never rejects. */
  async drop(): Promise<void> {
    const file = await this.#making;
    await file?.discard().catch((error: unknown) => {
      this.#options.log.warn("cannot remove a temporary file", { reason: describeError(error) });
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop();
  }

  #fill(file: FileDraft | undefined, record: VolumeRecord): FileDraft | undefined {
    if (file !== undefined) this.#options.records.fill(file, record);
    return file;
  }

  #make(): void {
    this.#hasBegun = true;
    this.#making = this.#options.records.draft();
  }
}
