// Any slice, computed here from each image's answers; see components/evaluation_report/explorer.py.
// The formulas are those of components/evaluation/clusters.py: people are the unit.
(() => {
  const holder = document.getElementById("explorer-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const { n, people, least } = data;
  const codes = new Uint32Array(bytes(data.codes).buffer);
  const flags = bytes(data.flags);
  // How many images each stands for, where rare groups were drawn in full.
  const weights = data.weights && new Float32Array(bytes(data.weights).buffer);
  const every = new Uint8Array(n).fill(1);
  const map = (f) => Uint8Array.from(flags, f);
  const [positive, called, silent] = [map((f) => f & 1), map((f) => (f >> 1) & 1), map((f) => (f >> 2) & 1)];
  const not = (a) => a.map((v) => 1 - v);
  const and = (a, b) => a.map((v, i) => v & b[i]);
  const wrong = positive.map((v, i) => v ^ called[i]);
  const answered = not(silent), negative = not(positive);
  // Name -> (of which images the event is true, which images count).
  const RATES = {
    silent: [silent, every],
    answered_error: [wrong, answered],
    accuracy: [not(wrong), every],
    fpr: [called, negative],
    fnr: [not(called), positive],
  };

  function feature(index) {
    const f = data.features[index];
    if (!f.decoded) {
      const packed = bytes(f.bits || f.codes);
      f.decoded = f.bits ? Uint8Array.from({ length: n }, (_, i) => (packed[i >> 3] >> (i & 7)) & 1) : packed;
    }
    return f;
  }

  function student(degrees) {
    const at = (1 / degrees) * (data.t.length - 1), k = Math.min(Math.floor(at), data.t.length - 2);
    return data.t[k] + (at - k) * (data.t[k + 1] - data.t[k]);
  }

  const FEWEST = 3;
  // Of independent images; see _spread_of_squares there.
  function spread(value, share, count, square) {
    const moment = (k) => share * (1 - value) ** k + (1 - share) * value ** k;
    const m2 = moment(2), m4 = moment(4);
    return (count * m4 + (2 * square - 3 * count) * m2 * m2) / (count * m2) ** 2;
  }

  function freedom(squares, there, kish, chance) {
    let total = 0, fourth = 0;
    for (const s of squares) { total += s; fourth += s * s; }
    const relative = total ? fourth / (total * total) - 1 / there - chance : Infinity;
    return Math.max(Math.min(relative > 0 ? 2 / relative : Infinity, kish - 1), FEWEST);
  }

  function estimate(event, domain) {
    const trials = new Float64Array(people), residuals = new Float64Array(people);
    let count = 0, hits = 0, all = 0, happened = 0;
    for (let i = 0; i < n; i++) {
      if (!domain[i]) continue;
      count++; hits += event[i]; all += weights ? weights[i] : 1;
    }
    if (!count) return { count, there: 0 };
    for (let i = 0; i < n; i++) {
      if (!domain[i]) continue;
      const weight = weights ? (weights[i] * count) / all : 1;
      happened += weight * event[i];
      trials[codes[i]] += weight; residuals[codes[i]] += weight * event[i];
    }
    const value = happened / count, independent = value - value * value;
    let there = 0, square = 0;
    for (let p = 0; p < people; p++) {
      there += trials[p] > 0; square += trials[p] * trials[p];
      residuals[p] -= value * trials[p];
    }
    const made = { value, count, there, residuals, effective: count, degrees: Infinity };
    if (count === there && !weights) return made;
    const kish = (count * count) / square;
    if (there === 1 || independent <= 1e-12)
      return { ...made, effective: kish, degrees: Math.max(kish - 1, FEWEST) };
    let total = 0;
    const squares = residuals.map((r, p) => {
      residuals[p] = r / (1 - trials[p] / count);
      total += residuals[p] * residuals[p];
      return residuals[p] * residuals[p];
    });
    const variance = (((there - 1) / there) * total) / count;
    const design = Math.max(variance / independent, 1);
    const chance = spread(value, hits / count, count, square) / design ** 2;
    return { ...made, effective: count / design, degrees: freedom(squares, there, kish, chance) };
  }

  function interval(e) {
    if (!e.count) return null;
    const t = student(e.degrees), m = e.effective, d = 1 + (t * t) / m;
    const centre = (e.value + (t * t) / (2 * m)) / d;
    const half = (t / d) * Math.sqrt((e.value * (1 - e.value)) / m + (t * t) / (4 * m * m));
    return [e.value, e.value === 0 ? 0 : Math.max(0, centre - half), e.value === 1 ? 1 : Math.min(1, centre + half)];
  }

  function difference(a, b) {
    const x = interval(a), y = interval(b);
    if (!x || !y) return null;
    let ab = 0, aa = 0, bb = 0;
    a.residuals.forEach((r, p) => { ab += r * b.residuals[p]; aa += r * r; bb += b.residuals[p] ** 2; });
    const r = aa * bb ? ab / Math.sqrt(aa * bb) : 0;
    const bound = (u, v) => Math.sqrt(Math.max(0, u * u + v * v - 2 * r * u * v));
    const d = x[0] - y[0];
    return [d, d - bound(x[0] - x[1], y[2] - y[0]), d + bound(x[2] - x[0], y[0] - y[1])];
  }

  const [first, second] = ["explore-first", "explore-second"].map((id) => document.getElementById(id));
  data.features.forEach((f, i) => {
    first.add(new Option(f.name, i));
    second.add(new Option(f.name, i));
  });

  function groups() {
    const a = first.value, b = second.value;
    const of = (i) => feature(i).values.map((name, v) => [name, feature(i).decoded.map((c) => +(c === v))]);
    if (a === "" && b === "") return data.features.flatMap((_, i) => of(i));
    if (a === "" || b === "" || a === b) return of(a === "" ? b : a);
    return of(a).flatMap(([x, mx]) => of(b).map(([y, my]) => [`${x} · ${y}`, and(mx, my)]));
  }

  const signed = (v) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(3);
  function cell(row, found, form) {
    const td = row.insertCell();
    td.dataset.value = found ? found[0] : "";
    td.append(found ? form(found[0]) : "–");
    if (!found) return;
    const span = document.createElement("span");
    span.className = "bounds";
    span.textContent = `${form(found[1])} to ${form(found[2])}`;
    td.append(span);
  }

  const body = document.getElementById("explore-table").tBodies[0];
  const fixed = (v) => v.toFixed(3);
  function update() {
    const rows = [];
    for (const [name, mask] of groups()) {
      const found = {};
      for (const [rate, [event, domain]] of Object.entries(RATES)) found[rate] = estimate(event, and(mask, domain));
      if (!found.silent.count) continue;
      const rest = estimate(wrong, and(not(mask), answered));
      rows.push({ name, found, few: found.silent.count < least, gap: difference(found.answered_error, rest) });
    }
    rows.sort((x, y) => x.few - y.few || (y.found.answered_error.value ?? -1) - (x.found.answered_error.value ?? -1));
    body.replaceChildren();
    for (const { name, found, few, gap } of rows) {
      const row = body.insertRow();
      if (few) row.className = "few";
      const th = document.createElement("th");
      th.scope = "row";
      th.textContent = name;
      row.append(th);
      const images = row.insertCell();
      images.dataset.value = found.silent.count;
      images.append(found.silent.count.toLocaleString("en"));
      if (data.unit === "people") {
        const span = document.createElement("span");
        span.className = "bounds";
        span.textContent = `${found.silent.there.toLocaleString("en")} people`;
        images.append(span);
      }
      for (const rate of ["silent", "answered_error"]) cell(row, interval(found[rate]), fixed);
      cell(row, gap, signed);
      for (const rate of ["accuracy", "fpr", "fnr"]) cell(row, interval(found[rate]), fixed);
    }
    document.getElementById("explore-count").textContent =
      `${rows.length} groups, ${rows.filter((r) => r.few).length} of them of fewer than ${least} images`;
    document.querySelectorAll("#explore-table th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
  }
  for (const list of [first, second]) list.addEventListener("change", update);
  update();
})();
