/** Frames out of a video: the picture at a time, as the API takes it. */

import type { Box, Face, Faces } from "./schemas";
import { unit } from "./tracks";

/** Larger frames are sent at this size: faces of 20 px and more are still found. */
const MAX_SIDE_PX = 960;
const SEEK_TIMEOUT_MS = 15_000;
const LOOK_PX = 8;

export type Frame = { jpeg: Blob; scale: number };

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The current frame as a JPEG, and what its pixels are multiplied with to be the video's; null while there is none. */
export async function grab(video: HTMLVideoElement): Promise<Frame | null> {
  if (!video.videoWidth || video.readyState < 2) return null;
  const scale = Math.min(1, MAX_SIDE_PX / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  const jpeg = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return jpeg && { jpeg, scale: video.videoWidth / canvas.width };
}

function event(video: HTMLVideoElement, name: string, begin: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (done: () => void) => () => {
      video.removeEventListener(name, fine);
      video.removeEventListener("error", failed);
      clearTimeout(timer);
      done();
    };
    const fine = end(resolve);
    const failed = end(() => reject(video.error ?? new Error(name)));
    const timer = setTimeout(failed, SEEK_TIMEOUT_MS);
    video.addEventListener(name, fine);
    video.addEventListener("error", failed);
    begin();
  });
}

/** Opens a video for its frames; returns it with its length in seconds. */
export async function openVideo(url: string): Promise<{ video: HTMLVideoElement; durationS: number }> {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  await event(video, "loadeddata", () => {
    video.src = url;
    video.load();
  });
  if (!video.videoWidth) throw new Error("no picture");
  // A recording of a browser does not know its length until its end was looked for.
  if (!Number.isFinite(video.duration)) await event(video, "durationchange", () => (video.currentTime = 1e7));
  return { video, durationS: video.duration };
}

export const seek = (video: HTMLVideoElement, timeS: number) =>
  event(video, "seeked", () => (video.currentTime = timeS));

/** The answer in pixels of the video, each face with what it looks like. */
export async function seenIn(answer: Faces, scale: number): Promise<{ face: Face; look: Float32Array | null }[]> {
  const times = (b: Box): Box => ({ x1: b.x1 * scale, y1: b.y1 * scale, x2: b.x2 * scale, y2: b.y2 * scale });
  return Promise.all(
    answer.faces.map(async (face) => ({
      face: { ...face, box: times(face.box), size_px: face.size_px * scale },
      look: face.crop_jpeg ? await look(face.crop_jpeg) : null,
    })),
  );
}

/** The middle of an aligned crop as a few coloured squares: enough to tell two people apart. */
async function look(jpeg: string): Promise<Float32Array> {
  const bytes = Uint8Array.from(atob(jpeg), (c) => c.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const canvas = new OffscreenCanvas(LOOK_PX, LOOK_PX);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  const { width, height } = picture;
  context.drawImage(picture, width * 0.15, height * 0.2, width * 0.7, height * 0.65, 0, 0, LOOK_PX, LOOK_PX);
  picture.close();
  const { data } = context.getImageData(0, 0, LOOK_PX, LOOK_PX);
  return unit(Float32Array.from(data).filter((_, k) => k % 4 !== 3));
}
