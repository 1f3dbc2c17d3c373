/** The API as the page calls it. */

import type { Language } from "./language";
import type { ErrorBody, Faces, Limits, Model } from "./schemas";

const KEY = "genq-key";

/** An error response. `offline`: there was no answer at all. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

export const offline = (error: unknown) => error instanceof ApiError && error.code === "offline";

export function setKey(key: string) {
  sessionStorage.setItem(KEY, key);
}

async function call<T>(path: string, language: Language, init: RequestInit = {}): Promise<T> {
  const key = sessionStorage.getItem(KEY);
  const headers: Record<string, string> = { "Accept-Language": language };
  if (key) headers["X-API-Key"] = key;
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError("offline", "");
  }
  if (response.ok) return (await response.json()) as T;
  let body: ErrorBody | undefined;
  try {
    body = ((await response.json()) as { error: ErrorBody }).error;
  } catch {
    // A proxy's page: the status is all there is.
  }
  const wait = Number(response.headers.get("Retry-After"));
  throw new ApiError(
    body?.code ?? `http_${response.status}`,
    body?.message ?? `HTTP ${response.status}`,
    wait > 0 ? wait : null,
  );
}

/** Every face of a photo. */
export async function faces(
  photo: Blob,
  language: Language,
  options: { preview?: boolean; signal?: AbortSignal } = {},
): Promise<Faces> {
  const form = new FormData();
  form.append("file", photo);
  const query = `?crops=true${options.preview ? "&preview=true" : ""}`;
  return call<Faces>(`/v1/faces${query}`, language, {
    method: "POST",
    body: form,
    signal: options.signal ?? null,
  });
}

export const limits = (language: Language) => call<Limits>("/v1/limits", language);
export const model = (language: Language) => call<Model>("/v1/model", language);

export async function alive(): Promise<boolean> {
  try {
    return (await fetch("/healthz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
