/** Which part of the registry answered: its API, the token endpoint, or the second origin that blobs are redirected to. */
export type RequestOrigin = "registry" | "token" | "blobs";

/** One request as the registry saw it. `status`, `bytesSent` and `finished` change while it is answered. */
export interface LoggedRequest {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly query: string;
  readonly origin: RequestOrigin;
  /** The headers that tests ask about: authorization, range, accept, user-agent, content-type. */
  readonly headers: Readonly<Record<string, string>>;
  status: number;
  /** Bytes of the body that were handed to the socket. */
  bytesSent: number;
  /** The answer was sent whole, or the connection is gone. */
  finished: boolean;
}

/** Which requests: each given field must fit. */
export interface RequestFilter {
  readonly method?: string;
  readonly path?: string | RegExp;
  readonly origin?: RequestOrigin;
}

const KEPT_HEADERS = ["authorization", "range", "accept", "user-agent", "content-type"];

/** What a registry was asked, in order, so that a test can say "exactly one blob was fetched". */
export class RequestLog {
  readonly entries: LoggedRequest[] = [];
  readonly #watchers = new Set<() => void>();

  /** Adds a request that has just arrived. */
  begin(
    method: string,
    url: URL,
    origin: RequestOrigin,
    headers: Record<string, string | string[] | undefined>,
  ): LoggedRequest {
    const kept: Record<string, string> = {};
    for (const name of KEPT_HEADERS) {
      const value = headers[name];
      if (typeof value === "string") kept[name] = value;
    }
    const entry: LoggedRequest = {
      method,
      path: url.pathname,
      query: url.search,
      origin,
      headers: kept,
      status: 0,
      bytesSent: 0,
      finished: false,
    };
    this.entries.push(entry);
    this.changed();
    return entry;
  }

  /** Says that an entry has changed, so that those who wait look again. */
  changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** All requests that fit. */
  select(filter: RequestFilter): LoggedRequest[] {
    return this.entries.filter((entry) => {
      if (filter.method !== undefined && entry.method !== filter.method) return false;
      if (filter.origin !== undefined && entry.origin !== filter.origin) return false;
      if (typeof filter.path === "string") return entry.path === filter.path;
      return filter.path === undefined || filter.path.test(entry.path);
    });
  }

  /** GET requests for blobs at the registry's API, of one digest or of any. */
  blobGets(digest = ""): LoggedRequest[] {
    return this.select({ method: "GET", origin: "registry" }).filter(
      ({ path }) => path.includes("/blobs/") && path.endsWith(digest),
    );
  }

  /** GET requests for manifests. */
  manifestGets(): LoggedRequest[] {
    return this.select({ method: "GET", origin: "registry", path: /\/manifests\// });
  }

  /** Forgets what was asked so far: pushes, usually. */
  clear(): void {
    this.entries.length = 0;
  }

  /** The first request that fits, waiting for it (or for it to change) up to `deadlineMs`. */
  waitFor(wanted: (entry: LoggedRequest) => boolean, deadlineMs = 60_000): Promise<LoggedRequest> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        const seen = this.entries.map((entry) => `${entry.method} ${entry.path} ${entry.status}`).join("\n  ");
        reject(new Error(`the awaited request did not come within ${deadlineMs} ms; the registry saw:\n  ${seen}`));
      }, deadlineMs);
      const look = () => {
        const found = this.entries.find(wanted);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(found);
      };
      this.#watchers.add(look);
      look();
    });
  }
}
