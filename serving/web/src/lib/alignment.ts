/** From a face to the upright crop that the model was trained on; data/faces/alignment.py in TypeScript. */

import { affine, picked, reduce, type Pixels } from "./pixels";

export type Point = readonly [x: number, y: number];

/** Of a crop: its size and where CelebA's aligned images have the eyes. */
export type CropShape = {
  width_px: number;
  height_px: number;
  left_eye_xy_px: readonly number[];
  right_eye_xy_px: readonly number[];
};

/** From the crop to the photo: z -> a * z + b, complex. */
type Similarity = { a: Point; b: Point };

const times = ([a, b]: Point, [c, d]: Point): Point => [a * c - b * d, a * d + b * c];

/** Returns the similarity transform from crop to photo; null where the eyes give no direction. */
export function similarity(eyes: readonly Point[], crop: CropShape, minEyeDistancePx: number): Similarity | null {
  const [left, right] = [eyes[0]!, eyes[1]!];
  const [ex, ey] = [right[0] - left[0], right[1] - left[1]];
  if (!(Math.hypot(ex, ey) >= minEyeDistancePx)) return null;
  const toLeft: Point = [crop.left_eye_xy_px[0]!, crop.left_eye_xy_px[1]!];
  const [tx, ty] = [crop.right_eye_xy_px[0]! - toLeft[0], crop.right_eye_xy_px[1]! - toLeft[1]];
  const length = tx * tx + ty * ty;
  const a: Point = [(ex * tx + ey * ty) / length, (ey * tx - ex * ty) / length];
  const at = times(a, toLeft);
  return { a, b: [left[0] - at[0], left[1] - at[1]] };
}

/** Cuts the aligned crop of one face out of a photo; null where it cannot be turned upright. */
export function align(photo: Pixels, eyes: readonly Point[], crop: CropShape, minEyeDistancePx: number): Pixels | null {
  const found = similarity(eyes, crop, minEyeDistancePx);
  if (!found) return null;
  const { a, b } = found;
  const { width_px: width, height_px: height } = crop;
  const factor = Math.max(1, Math.trunc(Math.hypot(a[0], a[1])));
  const corners = [0, width].flatMap((x) => [0, height].map((y) => times(a, [x, y])));
  const [x0, columns] = blocks(corners.map((c) => c[0] + b[0]), factor, photo.width);
  const [y0, rows] = blocks(corners.map((c) => c[1] + b[1]), factor, photo.height);
  const patch = averaged(photo, factor, rows, columns);
  // Pillow counts from pixels' corners: the centre of pixel (0, 0) is (0.5, 0.5) there.
  const half = times(a, [-0.5, -0.5]);
  const shiftX = (half[0] + b[0] + 0.5) / factor - x0;
  const shiftY = (half[1] + b[1] + 0.5) / factor - y0;
  const [re, im] = [a[0] / factor, a[1] / factor];
  return affine(patch, width, height, [re, -im, shiftX, im, re, shiftY]);
}

/** The first block that covers the values, and the blocks of the photo from there; edges repeat. */
function blocks(values: readonly number[], factor: number, sizePx: number): [number, number[]] {
  const first = Math.floor(Math.min(...values) / factor) - 1;
  const end = Math.ceil(Math.max(...values) / factor) + 2;
  const last = Math.ceil(sizePx / factor) - 1;
  return [first, Array.from({ length: end - first }, (_, n) => Math.min(Math.max(first + n, 0), last))];
}

function averaged(photo: Pixels, factor: number, rows: readonly number[], columns: readonly number[]): Pixels {
  const [y0, x0] = [rows[0]!, columns[0]!];
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);
  const pixels = (first: number, last: number, most: number) => range(first * factor, Math.min((last + 1) * factor, most));
  let part = picked(photo, pixels(y0, rows.at(-1)!, photo.height), pixels(x0, columns.at(-1)!, photo.width));
  if (factor > 1) part = reduce(part, factor);
  return picked(part, rows.map((y) => y - y0), columns.map((x) => x - x0));
}
