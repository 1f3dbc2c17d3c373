"use client";

/**
 * "On this device": the whole way from photo to answers in the browser, with onnxruntime-web.
 *
 * The server's own networks, numbers and resampling, so that a photo gets one answer in both places.
 * Everything is loaded from this origin, and nothing that is chosen is sent anywhere.
 */

import { align, type Point } from "./alignment";
import { inReadingOrder } from "./answers";
import { decode, jpegBase64 } from "./decode";
import { findFaces, scaled, type Network, type Output, type Run } from "./detector";
import type { Detector, DetectorSettings, Face, Faces, Limits, Model } from "./schemas";

type Session = { run(feeds: Record<string, unknown>): Promise<Record<string, Output>> };
type Ort = {
  env: { wasm: { wasmPaths: string; numThreads: number } };
  Tensor: new (type: string, data: Float32Array | Uint8Array, dims: number[]) => unknown;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
};

export type Device = { analyse(photo: Blob): Promise<Faces> };

/** More faces in one photo than the server would answer about. */
export class TooManyFaces extends Error {
  constructor(
    readonly found: number,
    readonly limit: number,
  ) {
    super(`${found} faces; ${limit} are the limit`);
  }
}

const RUNTIME_MIB = 16;

async function get(path: string): Promise<Response> {
  const key = sessionStorage.getItem("genq-key");
  const response = await fetch(path, { headers: key ? { "X-API-Key": key } : {} });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response;
}

const bytes = async (path: string) => new Uint8Array(await (await get(path)).arrayBuffer());

/** MiB that have to be loaded: runtime, detector, model. */
export function downloadMib(model: Model): number {
  const found = model.release.variants.find((v) => v.name === model.active.variant);
  return Math.round(RUNTIME_MIB + (found?.bytes ?? 0) / 2 ** 20);
}

export async function loadDevice(model: Model, limits: Limits): Promise<Device> {
  const runtime = "/ort/ort.wasm.min.mjs";
  const ort = (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ runtime)) as Ort;
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1; // more need cross-origin isolation
  const { networks, settings } = (await (await get("/v1/detector")).json()) as Detector & { settings: DetectorSettings };
  const open = async (path: string) => ort.InferenceSession.create(await bytes(path), { executionProviders: ["wasm"] });
  const network = (name: Network) => open(networks[name]!.path);
  const { variant } = model.active; // the server's own: int8 and float32 differ a little
  const [pnet, rnet, onet, classifier] = await Promise.all([
    network("pnet"), network("rnet"), network("onet"), open(`/v1/model/onnx/${variant}`),
  ]);
  const sessions = { pnet, rnet, onet };
  const run: Run = (name, pixels, dims) =>
    sessions[name].run({ pixels: new ort.Tensor(pixels instanceof Uint8Array ? "uint8" : "float32", pixels, dims) });
  const { release } = model;

  async function answer(crop: Uint8Array, height: number, width: number) {
    const out = await classifier.run({ image: new ort.Tensor("uint8", crop, [1, height, width, 3]) });
    const uncertain = Boolean(out["uncertain"]!.data[0]);
    const label = release.labels[Number(out["label"]!.data[0]) as 0 | 1];
    return { p_positive: Number(out["p_positive"]!.data[0]), label: uncertain ? "uncertain" : label, uncertain };
  }

  async function analyse(blob: Blob): Promise<Faces> {
    const started = performance.now();
    const photo = await decode(blob, limits.max_pixels);
    const { pixels, width, height } = photo;
    const decoded = performance.now();
    const found = await findFaces(pixels, settings, run);
    if (found.faces.length > limits.max_faces) throw new TooManyFaces(found.faces.length, limits.max_faces);
    const detected = performance.now();
    const faces: Face[] = [];
    for (const face of inReadingOrder(found.faces)) {
      const crop = align(pixels, face.landmarks, release.image, settings.min_eye_distance_px);
      if (!crop) continue;
      const { box, landmarks } = scaled(face, width / pixels.width, height / pixels.height);
      const [x1, y1, x2, y2] = box;
      faces.push({
        ...(await answer(crop.data, crop.height, crop.width)),
        box: { x1, y1, x2, y2 },
        landmarks: named(landmarks, settings.landmarks),
        detector_score: Math.min(1, face.score),
        size_px: Math.max(x2 - x1, y2 - y1),
        crop_jpeg: jpegBase64(crop),
      });
    }
    const doubtful = inReadingOrder(found.doubtful).map((face) => {
      const [x1, y1, x2, y2] = scaled(face, width / pixels.width, height / pixels.height).box;
      return { box: { x1, y1, x2, y2 }, detector_score: Math.min(1, face.score), size_px: Math.max(x2 - x1, y2 - y1) };
    });
    const ended = performance.now();
    return {
      request_id: "on-this-device",
      image: { width, height, format: photo.format, rotated_deg: found.rotatedDeg, cut_off: photo.cutOff },
      faces,
      unusable_faces: found.faces.length - faces.length,
      doubtful,
      release: {
        model_name: release.model_name,
        version: release.version,
        variant,
        canary: false,
        labels: release.labels,
        synthetic: release.synthetic,
      },
      timings_ms: {
        decode: decoded - started,
        detect: detected - decoded,
        classify: ended - detected,
        total: ended - started,
      },
      preview_jpeg: null,
      notice: release.notice,
    };
  }

  return { analyse };
}

function named(points: readonly Point[], names: readonly string[]): Face["landmarks"] {
  const found = Object.fromEntries(points.map(([x, y], n) => [names[n], { x, y }]));
  return found as Face["landmarks"];
}
