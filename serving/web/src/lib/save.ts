/** Results as files. Crops and previews stay out: a result is numbers. */

import type { Faces } from "./schemas";
import type { Person } from "./tracks";

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

export type NamedVideo = {
  name: string;
  durationS: number;
  stepS: number;
  frames: number;
  finished: boolean;
  release: Faces["release"];
  people: readonly Person[];
};

const PERSON_COLUMNS = [
  "video", "person", "label", "p_label", "p_positive", "uncertain", "first_s", "last_s", "frames", "release", "variant",
] as const;

const labelOf = (person: Person, { labels }: Faces["release"]) =>
  person.uncertain ? "uncertain" : labels[person.pPositive >= 0.5 ? 1 : 0];

/** People with one answer each, and where they were in every frame that was looked at. */
export function tracksToJson({ name, durationS, stepS, frames, finished, release, people }: NamedVideo): string {
  return JSON.stringify(
    {
      video: name,
      duration_s: rounded(durationS),
      step_s: rounded(stepS),
      frames,
      finished,
      release,
      people: people.map((person) => ({
        person: person.id,
        label: labelOf(person, release),
        p_label: rounded(Math.max(person.pPositive, 1 - person.pPositive)),
        p_positive: rounded(person.pPositive),
        uncertain: person.uncertain,
        first_s: rounded(person.fromS),
        last_s: rounded(person.toS),
        sightings: person.sightings.map(({ timeS, face }) => ({
          time_s: rounded(timeS),
          box: face.box,
          p_positive: rounded(face.p_positive),
          detector_score: rounded(face.detector_score),
        })),
      })),
    },
    null,
    1,
  );
}

/** A line a person. */
export function tracksToCsv({ name, release, people }: NamedVideo): string {
  const rows = people.map((p) => [
    name, p.id, labelOf(p, release), Math.max(p.pPositive, 1 - p.pPositive).toFixed(4), p.pPositive.toFixed(4), p.uncertain,
    p.fromS.toFixed(2), p.toS.toFixed(2), p.sightings.length, release.version, release.variant,
  ]);
  return [PERSON_COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

const rounded = (value: number) => Math.round(value * 1e4) / 1e4;

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
