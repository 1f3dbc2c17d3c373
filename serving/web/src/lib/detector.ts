/**
 * Where the faces in a photo are: data/faces/detector.py in TypeScript.
 *
 * The same three networks, and every number from the server (GET /v1/detector), so that a photo has
 * the same faces in both places. Boxes are x1, y1, x2, y2, points x, y, in pixels of the photo.
 */

import type { Point } from "./alignment";
import { reduce, resizeBox, turned, type Pixels } from "./pixels";
import type { DetectorSettings } from "./schemas";

export type Network = "pnet" | "rnet" | "onet";
export type Output = { data: ArrayLike<number>; dims: readonly number[] };
/** Runs one network on `pixels`. */
export type Run = (network: Network, pixels: Uint8Array | Float32Array, dims: number[]) => Promise<Record<string, Output>>;

export type FoundFace = { box: readonly [number, number, number, number]; landmarks: Point[]; score: number };
/** `doubtful`: places that may be faces, below the score that an answer takes. */
export type Found = { faces: FoundFace[]; rotatedDeg: number; doubtful: FoundFace[] };

/** x1, y1, x2, y2, score, and of the last network x of five points, then y. */
type Row = readonly number[];
type Overlap = "union" | "smaller";

const f32 = Math.fround;
const best = (faces: readonly FoundFace[]) => Math.max(0, ...faces.map((f) => f.score));

/** Finds faces; without a sure one, also looks at the photo turned by 90, 180 and 270 degrees. */
export async function findFaces(photo: Pixels, settings: DetectorSettings, run: Run): Promise<Found> {
  const small = shrunk(photo, settings.max_pixels);
  let faces = await detect(small, settings, run);
  let turns = 0;
  if (settings.retry_rotated && best(faces) < settings.sure_score) {
    const upright = best(faces);
    const found = [faces];
    for (const n of [1, 2, 3]) found.push(await detect(turned(small, n), settings, run));
    found.forEach((some, n) => {
      if (best(some) > best(found[turns]!)) turns = n;
    });
    if (best(found[turns]!) < Math.max(upright + settings.turn_margin, settings.turned_score)) turns = 0;
    faces = found[turns]!.map((face) => turnedBack(face, turns, small));
  }
  const [sx, sy] = [photo.width / small.width, photo.height / small.height];
  const sized = faces.map((face) => scaled(face, sx, sy, photo));
  return {
    faces: sized.filter((face) => face.score >= settings.answer_score),
    rotatedDeg: 90 * turns,
    doubtful: sized.filter((face) => face.score < settings.answer_score),
  };
}

/** `Image.resize(size, BOX, reducing_gap=2)` to at most this many pixels. */
function shrunk(photo: Pixels, maxPixels: number): Pixels {
  const factor = Math.sqrt(maxPixels / (photo.height * photo.width));
  if (factor >= 1) return photo;
  const width = Math.max(1, Math.round(photo.width * factor));
  const height = Math.max(1, Math.round(photo.height * factor));
  const fx = Math.trunc(photo.width / width / 2) || 1;
  const fy = Math.trunc(photo.height / height / 2) || 1;
  const coarse = fx > 1 || fy > 1 ? reduce(photo, fx, fy) : photo;
  return resizeBox(coarse, width, height, { width: photo.width / fx, height: photo.height / fy });
}

async function detect(photo: Pixels, settings: DetectorSettings, run: Run): Promise<FoundFace[]> {
  const proposed = await propose(photo, settings, run);
  const refined = await refine(photo, proposed, "rnet", settings.rnet_score, "union", settings, run);
  const rows = await refine(photo, refined.map(squared), "onet", settings.onet_score, "smaller", settings, run);
  const most = [photo.width - 1, photo.height - 1];
  const boxes = rows.map((row) => row.map((v, k) => (k < 4 ? Math.min(Math.max(v, 0), most[k % 2]!) : v)));
  const scores = await lookedAtAgain(photo, boxes, settings, run);
  const faces: FoundFace[] = [];
  for (const [n, row] of boxes.entries()) {
    const score = scores[n]!;
    const box = [row[0]!, row[1]!, row[2]!, row[3]!] as const;
    if (score < settings.min_score || box[2] - box[0] < 1 || box[3] - box[1] < 1) continue;
    const landmarks = [0, 1, 2, 3, 4].map((k): Point => [row[5 + k]!, row[10 + k]!]);
    faces.push({ box, landmarks, score });
  }
  return faces.sort((a, b) => b.score - a.score);
}

/** ONet's mean score over shifted, resized and mirrored patches of each box: a face is one however it is cut out. */
async function lookedAtAgain(photo: Pixels, boxes: Row[], s: DetectorSettings, run: Run): Promise<number[]> {
  if (!boxes.length) return [];
  const size = s.onet_px;
  const stride = size * size * 3;
  const looks = s.looks.length * boxes.length;
  const patches = new Float32Array(2 * looks * stride);
  s.looks.forEach(([right = 0, down = 0, share = 1], look) => {
    boxes.forEach((box, n) => {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = squared(box);
      const side = x2 - x1;
      const [cx, cy, half] = [(x1 + x2) / 2 + right * side, (y1 + y2) / 2 + down * side, (share * side) / 2];
      const at = look * boxes.length + n;
      cut(photo, [cx - half, cy - half, cx + half, cy + half], size, s.outside, patches, at * stride);
      mirror(patches, at * stride, (looks + at) * stride, size);
    });
  });
  const { face } = (await run("onet", patches, [2 * looks, size, size, 3])) as { face: Output };
  return boxes.map((_, n) => {
    const byLook: number[] = [];
    for (let at = n; at < 2 * looks; at += boxes.length) byLook.push(face.data[at]!);
    const kept = byLook.sort((a, b) => a - b).slice(s.looks_left_out); // beyond the photo, where a face fills it
    return kept.reduce((sum, score) => sum + score, 0) / kept.length;
  });
}

/** Copies a patch, left and right exchanged. */
function mirror(patches: Float32Array, from: number, to: number, size: number) {
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < 3; c++) patches[to + (y * size + x) * 3 + c] = patches[from + (y * size + size - 1 - x) * 3 + c]!;
    }
  }
}

/** Scales at which a face of min_face_px and larger ones fill PNet's cell. */
function scales(shorterPx: number, s: DetectorSettings): number[] {
  if (shorterPx < s.cell_px) return [];
  const octaves = Math.log(shorterPx / s.cell_px) / Math.log(s.pyramid_factor);
  const levels = Math.max(0, Math.round(-(octaves + 1)));
  return Array.from({ length: levels }, (_, level) => (s.cell_px / s.min_face_px) * s.pyramid_factor ** level);
}

/** PNet over the pyramid -> square boxes. */
async function propose(photo: Pixels, s: DetectorSettings, run: Run): Promise<Row[]> {
  const all: Row[] = [];
  for (const scale of scales(Math.min(photo.width, photo.height), s)) {
    const width = Math.max(1, Math.trunc(photo.width * scale));
    const height = Math.max(1, Math.trunc(photo.height * scale));
    if (Math.min(width, height) < s.cell_px) continue;
    const level = resizeBox(photo, width, height);
    const { face, box } = (await run("pnet", level.data, [1, height, width, 3])) as { face: Output; box: Output };
    const [, rows = 0, columns = 0] = face.dims;
    const cells = rows * columns;
    const found: Row[] = [];
    for (let i = 0; i < cells; i++) {
      const score = face.data[i]!;
      if (score <= s.pnet_score) continue;
      const [x, y] = [s.step_px * (i % columns), s.step_px * Math.floor(i / columns)];
      const corners = [x, y, x + s.cell_px, y + s.cell_px];
      found.push([...corners.map((v, k) => f32((v + s.cell_px * box.data[k * cells + i]!) / scale)), score]);
    }
    all.push(...suppress(found, s.level_overlap, "union", s.max_proposals));
  }
  return suppress(all, s.overlap, "union", s.max_proposals).map(squared);
}

/** RNet or ONet -> the surviving boxes, and of ONet their landmarks. */
async function refine(
  photo: Pixels, boxes: Row[], network: "rnet" | "onet", minScore: number, overlap: Overlap, s: DetectorSettings, run: Run,
): Promise<Row[]> {
  if (!boxes.length) return [];
  const size = network === "rnet" ? s.rnet_px : s.onet_px;
  const patches = new Float32Array(boxes.length * size * size * 3);
  boxes.forEach((box, n) => cut(photo, box, size, s.outside, patches, n * size * size * 3));
  const out = await run(network, patches, [boxes.length, size, size, 3]);
  const kept: Row[] = [];
  boxes.forEach((corners, n) => {
    const score = out["face"]!.data[n]!;
    if (score <= minScore) return;
    const size = [corners[2]! - corners[0]! + 1, corners[3]! - corners[1]! + 1];
    const row = [0, 1, 2, 3].map((k) => f32(corners[k]! + out["box"]!.data[4 * n + k]! * size[k % 2]!));
    row.push(score);
    if (network === "onet") {
      for (let k = 0; k < 10; k++) {
        const axis = k < 5 ? 0 : 1; // x of five points, then y; relative to the box before it is refined
        row.push(f32(size[axis]! * out["landmarks"]!.data[10 * n + k]! + corners[axis]! - 1));
      }
    }
    kept.push(row);
  });
  return suppress(kept, s.overlap, overlap, s.max_proposals);
}

/** Keeps the best box, drops those that overlap it by more than `threshold`, and so on. */
export function suppress(boxes: readonly Row[], threshold: number, overlap: Overlap, most: number): Row[] {
  const kept: Row[] = [];
  const area = (b: Row) => (b[2]! - b[0]!) * (b[3]! - b[1]!);
  const covers = (a: Row, b: Row) => {
    const w = Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!);
    const h = Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!);
    const shared = Math.max(w, 0) * Math.max(h, 0);
    const base = overlap === "union" ? area(a) + area(b) - shared : Math.min(area(a), area(b));
    return shared > threshold * base;
  };
  for (const box of [...boxes].sort((a, b) => b[4]! - a[4]!).slice(0, most)) {
    if (!kept.some((better) => covers(better, box))) kept.push(box);
  }
  return kept;
}

/** Grows the shorter side about the centre. */
function squared(row: Row): Row {
  const [x1 = 0, y1 = 0, x2 = 0, y2 = 0, ...rest] = row;
  const side = Math.max(x2 - x1, y2 - y1);
  const [x, y] = [f32(x1 + (x2 - x1 - side) / 2), f32(y1 + (y2 - y1 - side) / 2)];
  return [x, y, f32(x + side), f32(y + side), ...rest];
}

/** Bilinear samples of a box, corner to corner, `outside` beyond the photo; as _patches in the detector. */
function cut(photo: Pixels, box: Row, size: number, outside: number, out: Float32Array, at: number) {
  const { data, width, height } = photo;
  const [sx, sy] = [(width - 1) / width, (height - 1) / height];
  const [x1, y1] = [box[0]! * sx, box[1]! * sy];
  const [dx, dy] = [(box[2]! * sx - x1) / (size - 1), (box[3]! * sy - y1) / (size - 1)];
  for (let j = 0; j < size; j++) {
    const y = y1 + j * dy;
    const top = Math.floor(y);
    const bottom = Math.min(top + 1, height - 1);
    for (let i = 0; i < size; i++, at += 3) {
      const x = x1 + i * dx;
      if (!(y >= 0 && y <= height - 1 && x >= 0 && x <= width - 1)) {
        out[at] = out[at + 1] = out[at + 2] = outside;
        continue;
      }
      const left = Math.floor(x);
      const right = Math.min(left + 1, width - 1);
      const [fx, fy] = [x - left, y - top];
      for (let c = 0; c < 3; c++) {
        const p = (row: number, column: number) => data[(row * width + column) * 3 + c]!;
        const upper = p(top, left) * (1 - fx) + p(top, right) * fx;
        const lower = p(bottom, left) * (1 - fx) + p(bottom, right) * fx;
        out[at + c] = upper * (1 - fy) + lower * fy;
      }
    }
  }
}

/** From pixels of the turned photo to pixels of the photo. */
function turnedBack(face: FoundFace, quarterTurns: number, { width, height }: Pixels): FoundFace {
  const back = ([x, y]: Point): Point =>
    quarterTurns === 0
      ? [x, y]
      : quarterTurns === 1
        ? [width - 1 - y, x]
        : quarterTurns === 2
          ? [width - 1 - x, height - 1 - y]
          : [y, height - 1 - x];
  const [[ax, ay], [bx, by]] = [back([face.box[0], face.box[1]]), back([face.box[2], face.box[3]])];
  const box = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)] as const;
  return { ...face, box, landmarks: face.landmarks.map(back) };
}

/** To the pixels of a photo that is so much larger: centres stay centres. */
export function scaled(face: FoundFace, sx: number, sy: number, limits?: { width: number; height: number }): FoundFace {
  if (sx === 1 && sy === 1) return face;
  const [x, y] = [(v: number) => (v + 0.5) * sx - 0.5, (v: number) => (v + 0.5) * sy - 0.5];
  const clip = (v: number, most: number | undefined) => (most === undefined ? v : Math.min(Math.max(v, 0), most - 1));
  const [x1, y1, x2, y2] = face.box;
  const box = [
    clip(x(x1), limits?.width), clip(y(y1), limits?.height), clip(x(x2), limits?.width), clip(y(y2), limits?.height),
  ] as const;
  return { ...face, box, landmarks: face.landmarks.map(([px, py]): Point => [x(px), y(py)]) };
}
