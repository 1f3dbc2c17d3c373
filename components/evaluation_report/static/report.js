"use strict";
// Sorting, searching and the threshold slider. The page is complete without them.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.tHead.querySelectorAll("th button").forEach((button) => {
    button.addEventListener("click", () => {
      const th = button.closest("th");
      const column = th.cellIndex;
      const next = th.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", next);
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const sign = next === "ascending" ? 1 : -1;
      const rows = [...body.rows].sort((x, y) => {
        const a = value(x), b = value(y);
        // What has no value stays at the end, whichever way.
        if (a === "" || b === "") return (a === "") - (b === "");
        const p = Number(a), q = Number(b);
        return sign * (Number.isNaN(p) || Number.isNaN(q) ? a.localeCompare(b) : p - q);
      });
      body.append(...rows);
    });
  });
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const table = document.getElementById(input.dataset.filter);
  const count = document.getElementById(input.dataset.filter + "-count");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    if (count) count.textContent = `${shown} of ${table.tBodies[0].rows.length} shown`;
  });
}

// Wilson (1927), as components/evaluation/intervals.py.
function wilson(x, n, z) {
  if (!n) return null;
  const p = x / n, d = 1 + z * z / n;
  const centre = (p + z * z / (2 * n)) / d;
  const half = (z / d) * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return [p, x === 0 ? 0 : Math.max(0, centre - half), x === n ? 1 : Math.min(1, centre + half)];
}

// Newcombe (1998), the hybrid score interval of a difference.
function difference(xa, na, xb, nb, z) {
  const a = wilson(xa, na, z), b = wilson(xb, nb, z);
  if (!a || !b) return null;
  const d = a[0] - b[0];
  return [d, d - Math.hypot(a[0] - a[1], b[2] - b[0]), d + Math.hypot(a[2] - a[0], b[0] - b[1])];
}

const slider = document.getElementById("threshold");
if (slider) {
  const data = JSON.parse(document.getElementById("slider-data").textContent);
  const fixed = (v) => v.toFixed(3);
  const signed = (v) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(3);
  const range = (i, f) => (i ? `${f(i[1])} to ${f(i[2])}` : "");
  const above = (counts, k) => counts.slice(k).reduce((s, c) => s + c, 0);
  const all = (counts) => counts.reduce((s, c) => s + c, 0);

  function confusion(index, k) {
    const [negative, positive] = data.counts[index];
    const fp = above(negative, k), tp = above(positive, k);
    return { tp, fp, tn: all(negative) - fp, fn: all(positive) - tp };
  }

  function put(id, text) {
    const element = document.getElementById(id);
    if (element) element.textContent = text;
  }

  function update() {
    const k = Number(slider.value);
    const threshold = k / data.bins;
    put("threshold-value", threshold.toFixed(3));
    slider.setAttribute("aria-valuetext", `p_positive at least ${threshold.toFixed(3)}`);
    const o = confusion(0, k);
    for (const name of ["tp", "fp", "tn", "fn"]) put(`c-${name}`, o[name].toLocaleString("en"));
    const n = o.tp + o.fp + o.tn + o.fn;
    const rates = {
      accuracy: [o.tp + o.tn, n], fpr: [o.fp, o.fp + o.tn], fnr: [o.fn, o.fn + o.tp],
      precision_positive: [o.tp, o.tp + o.fp], precision_negative: [o.tn, o.tn + o.fn],
    };
    for (const [name, [x, of]] of Object.entries(rates)) {
      const i = wilson(x, of, data.z[name]);
      put(`r-${name}`, i ? fixed(i[0]) : "–");
      put(`r-${name}-bounds`, range(i, fixed));
      put(`r-${name}-n`, of.toLocaleString("en"));
    }
    for (const row of document.getElementById("gaps-at").tBodies[0].rows) {
      const s = confusion(Number(row.dataset.slice), k);
      const parts = [
        [s.tp + s.tn, s.tp + s.tn + s.fp + s.fn, o.tp + o.tn, n],
        [s.fp, s.fp + s.tn, o.fp, o.fp + o.tn],
        [s.fn, s.fn + s.tp, o.fn, o.fn + o.tp],
      ];
      parts.forEach(([x, of, X, OF], c) => {
        const cell = row.cells[c + 2];
        const z = [data.z.accuracy, data.z.fpr, data.z.fnr][c];
        const i = difference(x, of, X - x, OF - of, z);
        cell.dataset.value = i ? i[0] : "";
        cell.firstElementChild.textContent = i ? signed(i[0]) : "–";
        cell.lastElementChild.textContent = range(i, signed);
      });
    }
  }
  slider.addEventListener("input", update);
  update();
}
