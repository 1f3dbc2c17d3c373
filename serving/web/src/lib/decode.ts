/** From a file to upright pixels, as the server decodes it: data/faces/photos.py. */

import { reduce, type Pixels } from "./pixels";

/** Larger JPEGs are decoded there at 1/2, 1/4 or 1/8 as long as this many pixels remain. */
const ENOUGH_PIXELS = 4_000_000;

export type Decoded = { pixels: Pixels; width: number; height: number; format: string };

export class TooManyPixels extends Error {
  constructor(
    readonly foundMp: number,
    readonly limitMp: number,
  ) {
    super(`${foundMp} MP; ${limitMp} MP are the limit`);
  }
}

/**
 * Decodes a photo: turned by EXIF, colours in sRGB, alpha on white.
 *
 * `pixels` may be smaller than the picture, whose own size is `width` and `height`.
 */
export async function decode(photo: Blob, maxPixels: number): Promise<Decoded> {
  const bitmap = await createImageBitmap(photo);
  try {
    const { width, height } = bitmap;
    const mp = (n: number) => Math.round(n / 1e5) / 10;
    if (width * height > maxPixels) throw new TooManyPixels(mp(width * height), mp(maxPixels));
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    const pixels = rgb(context.getImageData(0, 0, width, height));
    const format = (photo.type.split("/")[1] ?? "").toUpperCase();
    const factor = format === "JPEG" ? shrinkFactor(width, height) : 1;
    return { pixels: factor > 1 ? reduce(pixels, factor) : pixels, width, height, format };
  } finally {
    bitmap.close();
  }
}

/** By how much Pillow's `draft` shrinks a JPEG that needs no more than ENOUGH_PIXELS. */
function shrinkFactor(width: number, height: number): number {
  const shrink = Math.sqrt(ENOUGH_PIXELS / (width * height));
  if (shrink >= 1) return 1;
  const scale = Math.min(Math.floor(width / Math.trunc(width * shrink)), Math.floor(height / Math.trunc(height * shrink)));
  return [8, 4, 2].find((factor) => scale >= factor) ?? 1;
}

function rgb({ data, width, height }: ImageData): Pixels {
  const out = new Uint8Array(width * height * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    out[j++] = data[i]!;
    out[j++] = data[i + 1]!;
    out[j++] = data[i + 2]!;
  }
  return { data: out, width, height };
}

/** As a JPEG for an <img>, base64. */
export function jpegBase64({ data, width, height }: Pixels): string {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height);
  picture.data.fill(255);
  for (let i = 0, j = 0; j < data.length; i += 4) {
    picture.data[i] = data[j++]!;
    picture.data[i + 1] = data[j++]!;
    picture.data[i + 2] = data[j++]!;
  }
  canvas.getContext("2d")!.putImageData(picture, 0, 0);
  return canvas.toDataURL("image/jpeg", 0.9).split(",")[1] ?? "";
}
