/**
 * Pictures as plain bytes, and Pillow's own ways to change their size, bit for bit.
 *
 * The server searches, shrinks and cuts photos with Pillow. A canvas smooths differently from
 * browser to browser, and another pixel here is another answer there: so nothing is left to it.
 */

/** uint8, (height, width, 3), RGB, row by row. */
export type Pixels = { data: Uint8Array; width: number; height: number };

const PRECISION_BITS = 22; // of Pillow's fixed-point weights: src/libImaging/Resample.c

type Weights = { first: Int32Array; count: Int32Array; weights: Int32Array; most: number };

/** Weights of Pillow's box filter from `size` pixels, of which `used` count, to `to` pixels. */
function boxWeights(size: number, used: number, to: number): Weights {
  const scale = used / to;
  const filter = Math.max(scale, 1);
  const support = 0.5 * filter;
  const most = Math.ceil(support) * 2 + 1;
  const [first, count, weights] = [new Int32Array(to), new Int32Array(to), new Int32Array(to * most)];
  const row = new Float64Array(most);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const from = Math.max(Math.trunc(centre - support + 0.5), 0);
    const n = Math.min(Math.trunc(centre + support + 0.5), size) - from;
    let sum = 0;
    for (let k = 0; k < n; k++) {
      const x = (k + from - centre + 0.5) * (1 / filter);
      row[k] = x > -0.5 && x <= 0.5 ? 1 : 0;
      sum += row[k]!;
    }
    first[i] = from;
    count[i] = n;
    for (let k = 0; k < n; k++) weights[i * most + k] = Math.trunc(0.5 + (sum ? row[k]! / sum : 0) * 2 ** PRECISION_BITS);
  }
  return { first, count, weights, most };
}

const clip8 = (sum: number) => Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);

/**
 * `Image.resize(size, Resampling.BOX)`: horizontally, then vertically.
 *
 * `used` are the pixels that count from the upper left; the last one may be a part of a pixel.
 */
export function resizeBox(picture: Pixels, width: number, height: number, used?: { width: number; height: number }): Pixels {
  const half = 1 << (PRECISION_BITS - 1);
  const { width: usedWidth, height: usedHeight } = used ?? picture;
  let { data } = picture;
  const rows = picture.height;
  if (width !== picture.width || usedWidth !== picture.width) {
    const { first, count, weights, most } = boxWeights(picture.width, usedWidth, width);
    const out = new Uint8Array(rows * width * 3);
    for (let y = 0; y < rows; y++) {
      const line = y * picture.width * 3;
      let at = y * width * 3;
      for (let x = 0; x < width; x++) {
        let [r, g, b] = [half, half, half];
        let from = line + first[x]! * 3;
        const end = x * most + count[x]!;
        for (let k = x * most; k < end; k++, from += 3) {
          const w = weights[k]!;
          r += data[from]! * w;
          g += data[from + 1]! * w;
          b += data[from + 2]! * w;
        }
        out[at++] = clip8(r);
        out[at++] = clip8(g);
        out[at++] = clip8(b);
      }
    }
    data = out;
  }
  if (height !== rows || usedHeight !== rows) {
    const { first, count, weights, most } = boxWeights(rows, usedHeight, height);
    const stride = width * 3;
    const out = new Uint8Array(height * stride);
    const sums = new Int32Array(stride);
    for (let y = 0; y < height; y++) {
      sums.fill(half);
      for (let k = 0; k < count[y]!; k++) {
        const w = weights[y * most + k]!;
        const line = (first[y]! + k) * stride;
        for (let i = 0; i < stride; i++) sums[i]! += data[line + i]! * w;
      }
      for (let i = 0; i < stride; i++) out[y * stride + i] = clip8(sums[i]!);
    }
    data = out;
  }
  return { data, width, height };
}

/** `Image.reduce((fx, fy))`: averages blocks; those at the right and lower edge may be smaller. */
export function reduce(picture: Pixels, fx: number, fy: number = fx): Pixels {
  const { data, width, height } = picture;
  const [columns, rows] = [Math.ceil(width / fx), Math.ceil(height / fy)];
  const out = new Uint8Array(columns * rows * 3);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const [y0, y1] = [row * fy, Math.min((row + 1) * fy, height)];
    for (let column = 0; column < columns; column++) {
      const [x0, x1] = [column * fx, Math.min((column + 1) * fx, width)];
      const n = (y1 - y0) * (x1 - x0);
      const multiplier = Math.floor(2 ** 24 / n);
      let r = n >> 1;
      let [g, b] = [r, r];
      for (let y = y0; y < y1; y++) {
        let i = (y * width + x0) * 3;
        for (let x = x0; x < x1; x++, i += 3) {
          r += data[i]!;
          g += data[i + 1]!;
          b += data[i + 2]!;
        }
      }
      out[at++] = Math.floor((r * multiplier) / 2 ** 24);
      out[at++] = Math.floor((g * multiplier) / 2 ** 24);
      out[at++] = Math.floor((b * multiplier) / 2 ** 24);
    }
  }
  return { data: out, width: columns, height: rows };
}

/** `np.rot90`: by this many quarter turns, counter-clockwise. */
export function turned(picture: Pixels, quarterTurns: number): Pixels {
  if (quarterTurns === 0) return picture;
  const { data, width, height } = picture;
  const side = quarterTurns % 2 === 1;
  const [w, h] = side ? [height, width] : [width, height];
  const out = new Uint8Array(data.length);
  let at = 0;
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [fromX, fromY] =
        quarterTurns === 1 ? [width - 1 - y, x] : quarterTurns === 2 ? [width - 1 - x, height - 1 - y] : [y, height - 1 - x];
      const i = (fromY * width + fromX) * 3;
      out[at++] = data[i]!;
      out[at++] = data[i + 1]!;
      out[at++] = data[i + 2]!;
    }
  }
  return { data: out, width: w, height: h };
}

/** The rectangle of these rows and columns, in this order; each may occur several times. */
export function picked(picture: Pixels, rows: readonly number[], columns: readonly number[]): Pixels {
  const out = new Uint8Array(rows.length * columns.length * 3);
  let at = 0;
  for (const row of rows) {
    for (const column of columns) {
      const i = (row * picture.width + column) * 3;
      out[at++] = picture.data[i]!;
      out[at++] = picture.data[i + 1]!;
      out[at++] = picture.data[i + 2]!;
    }
  }
  return { data: out, width: columns.length, height: rows.length };
}

export type Affine = readonly [number, number, number, number, number, number];

/** `Image.transform(size, AFFINE, matrix, BILINEAR)`: black outside. */
export function affine(picture: Pixels, width: number, height: number, m: Affine): Pixels {
  const { data, width: w, height: h } = picture;
  const out = new Uint8Array(width * height * 3);
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const x = m[0] * (i + 0.5) + m[1] * (j + 0.5) + m[2];
      const y = m[3] * (i + 0.5) + m[4] * (j + 0.5) + m[5];
      if (x < 0 || x >= w || y < 0 || y >= h) continue;
      const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
      const [dx, dy] = [x - 0.5 - left, y - 0.5 - top];
      const [x0, x1] = [Math.max(left, 0), Math.min(left + 1, w - 1)];
      const [y0, y1] = [Math.max(top, 0), Math.min(top + 1, h - 1)];
      for (let c = 0; c < 3; c++) {
        const p = (row: number, column: number) => data[(row * w + column) * 3 + c]!;
        const upper = p(y0, x0) + (p(y0, x1) - p(y0, x0)) * dx;
        const lower = p(y1, x0) + (p(y1, x1) - p(y1, x0)) * dx;
        out[(j * width + i) * 3 + c] = upper + (lower - upper) * dy;
      }
    }
  }
  return { data: out, width, height };
}
