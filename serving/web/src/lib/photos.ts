"use client";

/** The photos of this visit: a queue of two at a time, with retries when the server is busy or away. */

import { useCallback, useEffect, useRef, useState } from "react";
import { alive, ApiError, faces, offline } from "./api";
import { upright } from "./decode";
import type { Device } from "./device";
import type { Language } from "./language";
import type { Faces } from "./schemas";

export type Photo = {
  id: number;
  file: File;
  url: string;
  state: "waiting" | "working" | "done" | "failed";
  answer?: Faces;
  error?: ApiError | Error;
  retryInS?: number;
};

const AT_A_TIME = 2;
const MAX_RETRIES = 5;

/** Whether this browser can show the file; if not, the server sends a preview. */
async function showable(file: File): Promise<boolean> {
  try {
    (await createImageBitmap(file)).close();
    return true;
  } catch {
    return false;
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export function usePhotos(language: Language, device: Device | null) {
  const [photos, setPhotos] = useState<Photo[]>([]);
  const [away, setAway] = useState(false);
  const next = useRef(1);
  const aborts = useRef(new Map<number, AbortController>());

  const change = useCallback((id: number, fields: Partial<Photo>) => {
    setPhotos((all) => all.map((p) => (p.id === id ? { ...p, ...fields } : p)));
  }, []);

  const add = useCallback((files: File[]) => {
    const added = files.map((file) => ({
      id: next.current++,
      file,
      url: URL.createObjectURL(file),
      state: "waiting" as const,
    }));
    setPhotos((all) => [...all, ...added]);
  }, []);

  const remove = useCallback((id: number) => {
    aborts.current.get(id)?.abort();
    setPhotos((all) => {
      const gone = all.find((p) => p.id === id);
      if (gone) URL.revokeObjectURL(gone.url);
      return all.filter((p) => p.id !== id);
    });
  }, []);

  const again = useCallback((id: number) => change(id, { state: "waiting" }), [change]);

  const analyse = useCallback(
    async (photo: Photo) => {
      const abort = new AbortController();
      aborts.current.set(photo.id, abort);
      try {
        const preview = !(await showable(photo.file));
        const turned = preview ? null : await upright(photo.file);
        if (turned) change(photo.id, { url: URL.createObjectURL(turned) });
        for (let tries = 0; ; tries++) {
          try {
            const answer = device
              ? await device.analyse(photo.file)
              : await faces(photo.file, language, { preview, signal: abort.signal });
            change(photo.id, { state: "done", answer, retryInS: undefined, error: undefined });
            return;
          } catch (error) {
            const wait = error instanceof ApiError ? error.retryAfterS : null;
            if (wait === null || tries >= MAX_RETRIES || abort.signal.aborted) throw error;
            for (let left = Math.min(wait, 30); left > 0; left--) {
              change(photo.id, { retryInS: left });
              await pause(1000);
            }
            change(photo.id, { retryInS: undefined });
          }
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        if (offline(error)) setAway(true);
        change(photo.id, { state: "failed", error: error as Error, retryInS: undefined });
      } finally {
        aborts.current.delete(photo.id);
      }
    },
    [change, device, language],
  );

  useEffect(() => {
    if (away) return;
    const working = photos.filter((p) => p.state === "working").length;
    const free = photos.filter((p) => p.state === "waiting").slice(0, AT_A_TIME - working);
    for (const photo of free) {
      change(photo.id, { state: "working" });
      void analyse(photo);
    }
  }, [photos, away, analyse, change]);

  // The server is away: ask every two seconds, then go on with what failed for that reason.
  useEffect(() => {
    if (!away) return;
    const timer = setInterval(async () => {
      if (!(await alive())) return;
      setAway(false);
      setPhotos((all) => all.map((p) => (offline(p.error) ? { ...p, state: "waiting", error: undefined } : p)));
    }, 2000);
    return () => clearInterval(timer);
  }, [away]);

  return { photos, away, add, remove, again };
}
