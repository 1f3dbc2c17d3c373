/** What the page makes of an answer: the order of its faces, and its label with its own probability. */

import type { Face, Faces, Model } from "./schemas";
import type { Texts } from "./texts";

/** x1, y1, x2, y2. */
type Placed = { readonly box: readonly [number, number, number, number] };

/** Whether two faces stand in one row: at least half of the lower one's height is shared. */
function beside({ box: [, a1, , a2] }: Placed, { box: [, b1, , b2] }: Placed): boolean {
  return Math.min(a2, b2) - Math.max(a1, b1) >= 0.5 * Math.min(a2 - a1, b2 - b1);
}

/** Rows from top to bottom, each from left to right: the server's order, data/faces/order.py. */
export function inReadingOrder<T extends Placed>(faces: readonly T[]): T[] {
  const middle = ({ box }: T) => (box[1] + box[3]) / 2;
  const rows: T[][] = [];
  for (const face of [...faces].sort((a, b) => middle(a) - middle(b))) {
    const row = rows.at(-1);
    if (row && beside(row[0]!, face)) row.push(face);
    else rows.push([face]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.box[0] - b.box[0]));
}

export type Said = { word: string; p: number; uncertain: boolean };

/** The likelier label in the page's language, and the probability of that label: 0.5 or more. */
export function said(face: Pick<Face, "p_positive" | "uncertain">, labels: readonly string[], t: Texts): Said {
  const positive = face.p_positive >= 0.5;
  const name = labels[positive ? 1 : 0] ?? "";
  return {
    word: t.labels[name] ?? name,
    p: positive ? face.p_positive : 1 - face.p_positive,
    uncertain: face.uncertain,
  };
}

/** Half the width of the range around 0.5 in which this answer's release abstains; null if unknown. */
export function bandOf(answer: Faces, model: Model | null): number | null {
  if (model?.release.version !== answer.release.version) return null;
  return model.release.calibration?.uncertain_below ?? null;
}

/** How many faces got each label, the commonest first: "3 female, 1 uncertain". */
export function counted(faces: readonly Face[], labels: readonly string[], t: Texts): string {
  const counts = new Map<string, number>();
  for (const face of faces) {
    const { word, uncertain } = said(face, labels, t);
    const name = uncertain ? t.uncertain.toLowerCase() : word;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} ${name}`).join(", ");
}

/** A JPEG as the API gives it, as something that an image can show. */
export const jpegUrl = (data: string | null | undefined) => (data ? `data:image/jpeg;base64,${data}` : null);
