"use client";

/**
 * "On this device": the whole way from photo to answers in the browser, with onnxruntime-web.
 *
 * The same networks and arithmetic as data/faces/detector.py and data/faces/alignment.py; the
 * browser's own resampling replaces Pillow's, so boxes differ by a pixel or two. Everything is
 * loaded from this origin, and nothing that is chosen is sent anywhere.
 */

import type { Face, Faces, Model } from "./schemas";

type Tensor = { data: Float32Array | Uint8Array | BigInt64Array; dims: readonly number[] };
type Session = { run(feeds: Record<string, unknown>): Promise<Record<string, Tensor>> };
type Ort = {
  env: { wasm: { wasmPaths: string; numThreads: number } };
  Tensor: new (type: string, data: Float32Array | Uint8Array, dims: number[]) => unknown;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
};
/** x1, y1, x2, y2, score, and of the last network ten landmarks: x of five points, then y. */
type Row = number[];
type Pixels = { data: Uint8ClampedArray; width: number; height: number };

export type Device = { analyse(photo: Blob): Promise<Faces> };

const CELL = 12;
const MIN_FACE = 20;
const FACTOR = 0.709;
const SCORES = { pnet: 0.6, rnet: 0.7, onet: 0.9 };
const MAX_PROPOSALS = 1500;
const MAX_PIXELS = 1_000_000;

async function bytes(path: string): Promise<Uint8Array> {
  const key = sessionStorage.getItem("genq-key");
  const response = await fetch(path, { headers: key ? { "X-API-Key": key } : {} });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export const variantOf = (model: Model): "int8" | "float32" =>
  model.onnx_variants.includes("int8") ? "int8" : "float32";

/** MiB that have to be loaded: runtime, detector, model. */
export function downloadMib(model: Model): number {
  const found = model.release.variants.find((v) => v.name === variantOf(model));
  return Math.round(16 + (found?.bytes ?? 0) / 2 ** 20);
}

export async function loadDevice(model: Model): Promise<Device> {
  const runtime = "/ort/ort.wasm.min.mjs";
  const ort = (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ runtime)) as Ort;
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1; // more need cross-origin isolation
  const variant = variantOf(model);
  const [pnet, rnet, onet, classifier] = (await Promise.all(
    [
      "/v1/detector/pnet",
      "/v1/detector/rnet",
      "/v1/detector/onet",
      `/v1/model/onnx/${variant}`,
    ].map(async (path) =>
      ort.InferenceSession.create(await bytes(path), { executionProviders: ["wasm"] }),
    ),
  )) as [Session, Session, Session, Session];
  const { image } = model.release;

  async function propose(bitmap: ImageBitmap): Promise<Row[]> {
    const shorter = Math.min(bitmap.width, bitmap.height);
    const levels = Math.round(-(Math.log(shorter / CELL) / Math.log(FACTOR) + 1));
    const all: Row[] = [];
    for (let level = 0; level < levels; level++) {
      const scale = (CELL / MIN_FACE) * FACTOR ** level;
      const width = Math.floor(bitmap.width * scale);
      const height = Math.floor(bitmap.height * scale);
      if (Math.min(width, height) < CELL) continue;
      const { data } = draw(bitmap, width, height);
      const pixels = new ort.Tensor("uint8", rgb(data), [1, height, width, 3]);
      const out = await pnet.run({ pixels });
      const [face, box] = [out["face"]!, out["box"]!];
      const [, rows, columns] = face.dims as [number, number, number];
      const found: Row[] = [];
      for (let i = 0; i < rows * columns; i++) {
        const score = Number(face.data[i]);
        if (score <= SCORES.pnet) continue;
        const [x, y] = [2 * (i % columns), 2 * Math.floor(i / columns)];
        const offset = (k: number) => CELL * Number(box.data[k * rows * columns + i]);
        found.push([
          (x + offset(0)) / scale,
          (y + offset(1)) / scale,
          (x + CELL + offset(2)) / scale,
          (y + CELL + offset(3)) / scale,
          score,
        ]);
      }
      all.push(...suppress(found, 0.5, false));
    }
    return suppress(all, 0.7, false).map(squared);
  }

  async function refine(photo: Pixels, boxes: Row[], network: "rnet" | "onet"): Promise<Row[]> {
    if (!boxes.length) return [];
    const size = network === "rnet" ? 24 : 48;
    const patches = new Float32Array(boxes.length * size * size * 3);
    boxes.forEach((box, n) => cut(photo, box, size, patches, n * size * size * 3));
    const session = network === "rnet" ? rnet : onet;
    const pixels = new ort.Tensor("float32", patches, [boxes.length, size, size, 3]);
    const out = await session.run({ pixels });
    const kept: Row[] = [];
    boxes.forEach(([x1 = 0, y1 = 0, x2 = 0, y2 = 0], n) => {
      const score = Number(out["face"]!.data[n]);
      if (score <= SCORES[network]) return;
      const [w, h] = [x2 - x1 + 1, y2 - y1 + 1];
      const offset = (k: number) => Number(out["box"]!.data[4 * n + k]);
      const row = [x1 + offset(0) * w, y1 + offset(1) * h, x2 + offset(2) * w, y2 + offset(3) * h, score];
      if (network === "onet") {
        const point = (k: number) => Number(out["landmarks"]!.data[10 * n + k]);
        for (let k = 0; k < 5; k++) row.push(w * point(k) + x1 - 1);
        for (let k = 5; k < 10; k++) row.push(h * point(k) + y1 - 1);
      }
      kept.push(row);
    });
    return suppress(kept, 0.7, network === "onet");
  }

  async function analyse(blob: Blob): Promise<Faces> {
    const started = performance.now();
    const bitmap = await createImageBitmap(blob); // upright: browsers apply EXIF orientation
    const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
    const small = await createImageBitmap(bitmap, {
      resizeWidth: Math.max(1, Math.round(bitmap.width * shrink)),
      resizeHeight: Math.max(1, Math.round(bitmap.height * shrink)),
      resizeQuality: "high",
    });
    const photo = draw(small, small.width, small.height);
    const proposed = await propose(small);
    const refined = (await refine(photo, proposed, "rnet")).map(squared);
    const rows = await refine(photo, refined, "onet");
    const detected = performance.now();
    const faces: Face[] = [];
    let unusable = 0;
    for (const row of rows.sort((a, b) => a[0]! - b[0]!)) {
      const whole = row.map((v, k) => (k === 4 ? v : v / shrink));
      const crop = align(bitmap, whole, image);
      if (!crop) {
        unusable += 1;
        continue;
      }
      const { data, width, height } = crop.getContext("2d")!.getImageData(0, 0, crop.width, crop.height);
      const feeds = { image: new ort.Tensor("uint8", rgb(data), [1, height, width, 3]) };
      const out = await classifier.run(feeds);
      const uncertain = Boolean(out["uncertain"]!.data[0]);
      const label = model.release.labels[Number(out["label"]!.data[0]) as 0 | 1];
      const clamp = (v: number, most: number) => Math.min(Math.max(v, 0), most - 1);
      const [x1, y1, x2, y2] = [0, 1, 2, 3].map((k) => clamp(whole[k]!, k % 2 ? bitmap.height : bitmap.width));
      const point = (k: number) => ({ x: whole[5 + k]!, y: whole[10 + k]! });
      faces.push({
        p_positive: Number(out["p_positive"]!.data[0]),
        label: uncertain ? "uncertain" : label,
        uncertain,
        box: { x1: x1!, y1: y1!, x2: x2!, y2: y2! },
        landmarks: {
          left_eye: point(0), right_eye: point(1), nose: point(2), left_mouth: point(3), right_mouth: point(4),
        },
        detector_score: row[4]!,
        size_px: Math.max(x2! - x1!, y2! - y1!),
        crop_jpeg: crop.toDataURL("image/jpeg", 0.9).split(",")[1]!,
      });
    }
    const ended = performance.now();
    return {
      request_id: "on-this-device",
      image: { width: bitmap.width, height: bitmap.height, format: blob.type, rotated_deg: 0 },
      faces,
      unusable_faces: unusable,
      release: { model_name: model.release.model_name, version: model.release.version, variant, canary: false, labels: model.release.labels, synthetic: model.release.synthetic },
      timings_ms: { detect: detected - started, classify: ended - detected, total: ended - started },
      preview_jpeg: null,
      notice: model.release.notice,
    };
  }

  return { analyse };
}

function draw(source: ImageBitmap, width: number, height: number): Pixels {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function rgb(rgba: Uint8ClampedArray): Uint8Array {
  const out = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    out[j++] = rgba[i]!;
    out[j++] = rgba[i + 1]!;
    out[j++] = rgba[i + 2]!;
  }
  return out;
}

function squared(row: Row): Row {
  const [x1 = 0, y1 = 0, x2 = 0, y2 = 0, score = 0] = row;
  const side = Math.max(x2 - x1, y2 - y1);
  const [x, y] = [(x1 + x2 - side) / 2, (y1 + y2 - side) / 2];
  return [x, y, x + side, y + side, score];
}

function suppress(boxes: Row[], threshold: number, smaller: boolean): Row[] {
  const best = boxes.sort((a, b) => b[4]! - a[4]!).slice(0, MAX_PROPOSALS);
  const area = (b: Row) => (b[2]! - b[0]!) * (b[3]! - b[1]!);
  return best.filter((b, j) => {
    for (let i = 0; i < j; i++) {
      const a = best[i]!;
      const w = Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!);
      const h = Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!);
      if (w <= 0 || h <= 0) continue;
      const base = smaller ? Math.min(area(a), area(b)) : area(a) + area(b) - w * h;
      if (w * h > threshold * base) return false;
    }
    return true;
  });
}

/** Bilinear, corner to corner, mid-grey outside; as _patches in data/faces/detector.py. */
function cut(photo: Pixels, box: Row, size: number, out: Float32Array, at: number) {
  const { data, width, height } = photo;
  const [sx, sy] = [(width - 1) / width, (height - 1) / height];
  const [x1, y1] = [box[0]! * sx, box[1]! * sy];
  const [dx, dy] = [(box[2]! * sx - x1) / (size - 1), (box[3]! * sy - y1) / (size - 1)];
  for (let j = 0; j < size; j++) {
    const y = y1 + j * dy;
    const top = Math.floor(y);
    for (let i = 0; i < size; i++, at += 3) {
      const x = x1 + i * dx;
      if (y < 0 || y > height - 1 || x < 0 || x > width - 1) {
        out[at] = out[at + 1] = out[at + 2] = 127.5;
        continue;
      }
      const left = Math.floor(x);
      const [fx, fy] = [x - left, y - top];
      const right = Math.min(left + 1, width - 1);
      const bottom = Math.min(top + 1, height - 1);
      for (let c = 0; c < 3; c++) {
        const p = (row: number, column: number) => data[4 * (row * width + column) + c]!;
        const upper = p(top, left) * (1 - fx) + p(top, right) * fx;
        const lower = p(bottom, left) * (1 - fx) + p(bottom, right) * fx;
        out[at + c] = upper * (1 - fy) + lower * fy;
      }
    }
  }
}

/** The similarity transform of data/faces/alignment.py, by the canvas; null if the eyes coincide. */
function align(photo: ImageBitmap, row: Row, image: Model["release"]["image"]): HTMLCanvasElement | null {
  const [lx, ly] = [row[5]!, row[10]!];
  const [rx, ry] = [row[6]!, row[11]!];
  if (Math.hypot(rx - lx, ry - ly) < 2) return null;
  const [tlx, tly] = image.left_eye_xy_px as [number, number];
  const [trx, try_] = image.right_eye_xy_px as [number, number];
  // a = (to_right - to_left) / (right - left), complex: from the photo to the crop.
  const [ex, ey, tx, ty] = [rx - lx, ry - ly, trx - tlx, try_ - tly];
  const length = ex * ex + ey * ey;
  const [re, im] = [(tx * ex + ty * ey) / length, (ty * ex - tx * ey) / length];
  const canvas = document.createElement("canvas");
  canvas.width = image.width_px;
  canvas.height = image.height_px;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  context.setTransform(re, im, -im, re, tlx - (re * lx - im * ly), tly - (im * lx + re * ly));
  // What lies outside the photo repeats its edge: each edge and corner, stretched outwards.
  const { width, height } = photo;
  const far = 300 / Math.sqrt(re * re + im * im);
  const columns = [[0, 1, -far, far], [0, width, 0, width], [width - 1, 1, width, far]] as const;
  const rows = [[0, 1, -far, far], [0, height, 0, height], [height - 1, 1, height, far]] as const;
  for (const [sx, sw, dx, dw] of columns) {
    for (const [sy, sh, dy, dh] of rows) context.drawImage(photo, sx, sy, sw, sh, dx, dy, dw, dh);
  }
  return canvas;
}
