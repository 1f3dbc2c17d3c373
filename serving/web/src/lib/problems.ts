/** What went wrong with a photo, in the page's language. */

import { ApiError } from "./api";
import { TooManyPixels } from "./decode";
import { TooManyFaces } from "./device";
import type { Texts } from "./texts";

export function problem(error: unknown, t: Texts): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TooManyPixels) return t.tooManyPixels(error.foundMp, error.limitMp);
  if (error instanceof TooManyFaces) return t.tooManyFaces(error.found, error.limit);
  return t.undecodable;
}
