/** From a file to upright pixels, as the server decodes it: data/faces/photos.py. */

import { fillOf, formatOf, MATRICES, orientationOf } from "./files";
import { reduce, type Pixels } from "./pixels";

/** Larger JPEGs are decoded there at 1/2, 1/4 or 1/8 as long as this many pixels remain. */
const ENOUGH_PIXELS = 4_000_000;

/** Of a file that is cut off: with fewer of its pixels it is refused. */
const LEAST_SHARE = 0.5;
/** Two rows of a JPEG's blocks: nobody misses more. */
const BLOCK_PX = 32;

export type Decoded = { pixels: Pixels; width: number; height: number; format: string; cutOff: boolean };

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
  const format = await formatOf(photo);
  const orientation = format === "WEBP" ? orientationOf(new Uint8Array(await photo.arrayBuffer())) : 1;
  const { bitmap, missing } = await opened(photo, format);
  try {
    const mp = (n: number) => Math.round(n / 1e5) / 10;
    const size = bitmap.width * bitmap.height;
    if (size > maxPixels) throw new TooManyPixels(mp(size), mp(maxPixels));
    const canvas = drawn(bitmap, orientation);
    const { width, height } = canvas;
    const pixels = rgb(canvas.getContext("2d")!.getImageData(0, 0, width, height));
    const factor = format === "JPEG" ? shrinkFactor(width, height) : 1;
    const cutOff = missing * height > BLOCK_PX;
    return { pixels: factor > 1 ? reduce(pixels, factor) : pixels, width, height, format, cutOff };
  } finally {
    bitmap.close();
  }
}

/** A WebP that lies on its side as browsers show it, which read no EXIF there: upright, as a JPEG. */
export async function upright(photo: Blob): Promise<Blob | null> {
  if ((await formatOf(photo)) !== "WEBP") return null;
  const orientation = orientationOf(new Uint8Array(await photo.arrayBuffer()));
  if (orientation === 1) return null;
  const { bitmap } = await opened(photo, "WEBP");
  return drawn(bitmap, orientation).convertToBlob({ type: "image/jpeg", quality: 0.92 });
}

function drawn(bitmap: ImageBitmap, orientation: number): OffscreenCanvas {
  const turned = orientation > 4;
  const [width, height] = turned ? [bitmap.height, bitmap.width] : [bitmap.width, bitmap.height];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.setTransform(...MATRICES[orientation]!(bitmap.width, bitmap.height));
  context.drawImage(bitmap, 0, 0);
  return canvas;
}

/** The picture and which share of it is missing because the file is cut off. */
async function opened(photo: Blob, format: string): Promise<{ bitmap: ImageBitmap; missing: number }> {
  try {
    // Of a WebP's orientation some browsers know, others do not.
    const options: ImageBitmapOptions = format === "WEBP" ? { imageOrientation: "none" } : {};
    return { bitmap: await createImageBitmap(photo, options), missing: 0 };
  } catch (error) {
    const fill = fillOf(format, new Uint8Array(await photo.slice(0, 32).arrayBuffer()));
    if (!fill) throw error;
    const { canvas, missing } = await asFarAsItGoes(photo, fill);
    if (!canvas || missing > 1 - LEAST_SHARE) throw error;
    if (format !== "JPEG") return { bitmap: canvas.transferToImageBitmap(), missing };
    // Given an end, the decoder also hands out the row of blocks that it was working on.
    return { bitmap: await createImageBitmap(new Blob([photo, Uint8Array.of(0xff, 0xd9)])), missing };
  }
}

/** What an <img> shows of a file that is cut off, on `fill`; what it leaves clear is missing. */
async function asFarAsItGoes(photo: Blob, fill: string): Promise<{ canvas: OffscreenCanvas | null; missing: number }> {
  const url = URL.createObjectURL(photo);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!width || !height) return { canvas: null, missing: 1 };
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" })!;
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    let clear = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] === 0) clear += 1;
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = fill;
    context.fillRect(0, 0, width, height);
    return { canvas, missing: clear / (width * height) };
  } catch {
    return { canvas: null, missing: 1 };
  } finally {
    URL.revokeObjectURL(url);
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
