/** What the page has to know of files itself, because browsers differ in it. */

const MAGIC: readonly [name: string, at: number, bytes: string][] = [
  ["JPEG", 0, "\xff\xd8\xff"], ["PNG", 0, "\x89PNG"], ["WEBP", 8, "WEBP"], ["GIF", 0, "GIF8"], ["BMP", 0, "BM"],
];

/** By its first bytes and not by its name: which decides how the server shrinks it. */
export async function formatOf(photo: Blob): Promise<string> {
  const head = new Uint8Array(await photo.slice(0, 16).arrayBuffer());
  const is = (at: number, bytes: string) => [...bytes].every((c, n) => head[at + n] === c.charCodeAt(0));
  return MAGIC.find(([, at, bytes]) => is(at, bytes))?.[0] ?? (photo.type.split("/")[1] ?? "").toUpperCase();
}

/** The colour of what is missing of a file that is cut off; null for kinds of which then nothing can be shown. */
export function fillOf(format: string, head: Uint8Array): string | null {
  if (format === "PNG") return head[25]! & 4 ? "white" : "black"; // 4: with transparency
  return ["JPEG", "BMP", "GIF"].includes(format) ? "black" : null;
}

type Matrix = [a: number, b: number, c: number, d: number, e: number, f: number];

/** EXIF's orientation, 1 to 8 -> from a picture of that width and height as it is stored to upright. */
export const MATRICES: Record<number, (w: number, h: number) => Matrix> = {
  1: () => [1, 0, 0, 1, 0, 0],
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (_, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (_, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};

/** EXIF's orientation of a WebP; 1 where it says none, or none that makes sense. */
export function orientationOf(webp: Uint8Array): number {
  const view = new DataView(webp.buffer, webp.byteOffset, webp.byteLength);
  try {
    for (let at = 12; ; ) {
      const size = view.getUint32(at + 4, true);
      if (view.getUint32(at) === 0x45584946) return orientationIn(view, at + 8); // "EXIF"
      at += 8 + size + (size % 2);
    }
  } catch (error) {
    if (error instanceof RangeError) return 1; // the end of the file
    throw error;
  }
}

function orientationIn(view: DataView, start: number): number {
  const tiff = view.getUint32(start) === 0x45786966 ? start + 6 : start; // "Exif", 0, 0 before it
  const little = view.getUint16(tiff) === 0x4949;
  const entries = tiff + view.getUint32(tiff + 4, little);
  for (let n = 0; n < view.getUint16(entries, little); n++) {
    const entry = entries + 2 + 12 * n;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const value = view.getUint16(entry + 8, little);
    return value in MATRICES ? value : 1;
  }
  return 1;
}
