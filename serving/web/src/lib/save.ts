/** Results as files. Crops and previews stay out: a result is numbers. */

import type { Faces } from "./schemas";

export type Named = { name: string; answer: Faces };

const COLUMNS = [
  "photo", "face", "label", "p_label", "p_positive", "uncertain", "detector_score",
  "x1", "y1", "x2", "y2", "release", "variant",
] as const;

export function toJson(results: Named[]): string {
  return JSON.stringify(
    results.map(({ name, answer }) => ({
      photo: name,
      ...answer,
      preview_jpeg: undefined,
      faces: answer.faces.map((face) => ({ ...face, crop_jpeg: undefined })),
    })),
    null,
    1,
  );
}

export function toCsv(results: Named[]): string {
  const rows = results.flatMap(({ name, answer }) =>
    answer.faces.map((f, n) => [
      name, n + 1, f.label, Math.max(f.p_positive, 1 - f.p_positive).toFixed(4), f.p_positive.toFixed(4), f.uncertain, f.detector_score.toFixed(4),
      f.box.x1, f.box.y1, f.box.x2, f.box.y2, answer.release.version, answer.release.variant,
    ]),
  );
  return [COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value: string | number | boolean): string {
  let text = String(value);
  // A file name must not become a formula in a spreadsheet.
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function save(name: string, type: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
