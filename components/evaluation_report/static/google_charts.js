// The part of Google Charts' API that TensorFlow Model Analysis calls, drawn as SVG and HTML.
//
// TFMA's elements load Google Charts from the network, and its terms allow no copy. Where
// `google.charts` is already there, they use it: this file goes before theirs. What TFMA 0.52 uses:
// charts.load, DataTable, DataView, arrayToDataTable, events, ChartWrapper with the types table,
// line, combo and bubble, and ColumnChart.
(() => {
  "use strict";
  const COLORS = ["#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6"];
  const SVG = "http://www.w3.org/2000/svg";

  const cell = (x) =>
    x !== null && typeof x === "object" && "v" in x ? { v: x.v, f: x.f } : { v: x, f: undefined };
  const column = (x) => (typeof x === "object" ? { label: "", ...x } : { label: String(x) });

  class DataTable {
    constructor(data = {}) {
      this.cols = (data.cols || []).map(column);
      this.rows = (data.rows || []).map((row) => row.c.map(cell));
    }
    addRows(rows) {
      this.rows.push(...rows.map((row) => row.map(cell)));
    }
    getNumberOfRows() {
      return this.rows.length;
    }
    sort(keys) {
      const at = [].concat(keys).map((key) => key.column ?? key);
      this.rows.sort((a, b) => {
        for (const i of at) {
          const order = compare(a[i].v, b[i].v);
          if (order) return order;
        }
        return 0;
      });
    }
  }

  class DataView {
    constructor(table) {
      this.table = table;
      this.columns = table.cols.map((_, i) => i);
    }
    setColumns(columns) {
      this.columns = columns;
    }
    getNumberOfRows() {
      return this.table.rows.length;
    }
    get cols() {
      return this.columns.map((c) => (typeof c === "object" ? column(c) : this.table.cols[c]));
    }
    get rows() {
      return this.table.rows.map((row) =>
        this.columns.map((c) => {
          if (typeof c !== "object") return row[c];
          const source = row[c.sourceColumn];
          return { v: source.f ?? String(source.v), f: undefined };
        }),
      );
    }
  }

  function arrayToDataTable(rows) {
    const table = new DataTable({ cols: rows[0] });
    table.addRows(rows.slice(1));
    return table;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  const listeners = new WeakMap();
  const events = {
    addListener(target, type, call) {
      if (!listeners.has(target)) listeners.set(target, []);
      listeners.get(target).push({ type, call });
    },
    addOneTimeListener(target, type, call) {
      events.addListener(target, type, function once(data) {
        listeners.set(target, listeners.get(target).filter((l) => l.call !== once));
        call(data);
      });
    },
    trigger(target, type, data) {
      for (const l of [...(listeners.get(target) || [])]) if (l.type === type) l.call(data);
    },
  };

  class Chart {
    constructor(container) {
      this.container = container;
      this.selection = [];
    }
    getSelection() {
      return this.selection;
    }
    setSelection(selection) {
      this.selection = selection || [];
      this.showSelection();
    }
    showSelection() {
      const rows = new Set(this.selection.map((s) => String(s.row)));
      for (const mark of this.container.querySelectorAll("[data-row]"))
        mark.classList.toggle(this.selected, rows.has(mark.dataset.row));
    }
    /** A click on what is selected takes the selection away. */
    choose(row, column) {
      const same = this.selection.length && this.selection[0].row === row;
      this.setSelection(same ? [] : [{ row, column }]);
      events.trigger(this, "select");
    }
    draw(data, options = {}) {
      this.data = data;
      this.options = options;
      this.container.replaceChildren();
      if (data.cols.length) this.render();
      this.showSelection();
      events.trigger(this, "ready");
    }
  }

  class Table extends Chart {
    selected = "google-visualization-table-tr-sel";
    render() {
      const { rows } = this.data;
      const key = JSON.stringify(this.data.cols);
      // Another set of columns is another table: its order and page start anew.
      if (this.key !== key) Object.assign(this, { key, page: 0, by: null, up: true });
      const order = this.order();
      const size = this.options.page === "enable" ? this.options.pageSize || 10 : Infinity;
      const pages = Math.max(1, Math.ceil(rows.length / size));
      this.page = Math.min(this.page, pages - 1);
      const start = size === Infinity ? 0 : this.page * size;
      const table = element("table", "google-visualization-table-table");
      table.append(this.head(), this.body(order.slice(start, start + size)));
      const box = element("div", "google-visualization-table");
      box.style.overflowX = "auto";
      box.append(table);
      this.container.append(box);
      if (pages > 1) this.container.append(this.pager(pages));
    }
    head() {
      const row = element("tr", "google-visualization-table-tr-head");
      this.data.cols.forEach((col, at) => {
        const th = element("th", "google-visualization-table-th gradient");
        const sorted = this.by === at;
        th.setAttribute("aria-sort", sorted ? (this.up ? "ascending" : "descending") : "none");
        th.classList.toggle(this.up ? "sort-ascending" : "sort-descending", sorted);
        const button = element("button", "", col.label);
        button.style.cssText = "all: unset; cursor: pointer; color: #5f5f5f;";
        button.addEventListener("focus", () => (button.style.outline = "2px solid"));
        button.addEventListener("blur", () => (button.style.outline = ""));
        button.addEventListener("click", () => this.sort(at));
        th.append(button, element("span", "google-visualization-table-sortind"));
        row.append(th);
      });
      const head = element("thead");
      head.append(row);
      return head;
    }
    /** Rows as they are shown, on all pages. */
    order() {
      const { rows } = this.data;
      const found = rows.map((_, i) => i);
      if (this.by === null) return found;
      const way = this.up ? 1 : -1;
      return found.sort((a, b) => way * compare(rows[a][this.by].v, rows[b][this.by].v));
    }
    sort(at) {
      this.up = this.by === at ? !this.up : true;
      this.by = at;
      this.page = 0;
      this.draw(this.data, this.options);
      const sortedIndexes = this.order();
      events.trigger(this, "sort", { column: at, ascending: this.up, sortedIndexes });
    }
    body(order) {
      const body = element("tbody");
      order.forEach((at, n) => {
        const kind = n % 2 ? "odd" : "even";
        const row = element("tr", `google-visualization-table-tr-${kind}`);
        row.dataset.row = at;
        row.addEventListener("click", () => this.choose(at, null));
        for (const { v, f } of this.data.rows[at]) {
          const td = element("td", "google-visualization-table-td");
          if (typeof v === "number") td.classList.add("google-visualization-table-type-number");
          // TFMA renders intervals and matrices as elements of its own.
          if (this.options.allowHtml && f !== undefined) td.innerHTML = f;
          else td.textContent = f ?? (v === null || v === undefined ? "" : String(v));
          row.append(td);
        }
        body.append(row);
      });
      return body;
    }
    pager(pages) {
      const box = element("div", "google-visualization-table-div-page");
      for (let i = 0; i < pages; i++) {
        const button = element("button", "google-visualization-table-page-number", String(i + 1));
        button.disabled = i === this.page;
        button.addEventListener("click", () => {
          this.page = i;
          this.draw(this.data, this.options);
          events.trigger(this, "page", { page: i });
        });
        box.append(button);
      }
      return box;
    }
  }

  /** Axes, grid, legend; x and y are scales from values to pixels. */
  class Plot extends Chart {
    selected = "selected";
    margin = { top: 34, right: 60, bottom: 44, left: 64 };
    frame() {
      // The host's size, which TFMA's style sheet gives: `width: 100%` of a card, 400 x 300 else.
      const host = this.container.getRootNode().host || this.container;
      this.width = this.options.width || host.clientWidth || 400;
      this.height = this.options.height || host.clientHeight || 300;
      this.svg = svg("svg", { width: this.width, height: this.height, role: "img" });
      this.svg.setAttribute("font-family", "system-ui, sans-serif");
      this.svg.setAttribute("font-size", "11");
      const names = this.data.cols.filter((c) => !c.role).map((c) => c.label).filter(Boolean);
      const title = this.options.title || names.slice(1).join(", ") || "chart";
      this.svg.setAttribute("aria-label", `${title} by ${this.options.hAxis?.title || names[0]}`);
      if (this.options.title) this.text(this.margin.left, 14, this.options.title, { "font-weight": 600 });
      const style = svg("style", {});
      style.textContent =
        ".selected { stroke: #000; stroke-width: 2; } [data-row] { cursor: pointer; }";
      this.svg.append(style);
      this.container.append(this.svg);
    }
    scale(values, [from, to], axis = {}) {
      const view = axis.viewWindow || {};
      const known = values.filter(Number.isFinite);
      let low = view.min ?? axis.minValue ?? Math.min(...known);
      let high = view.max ?? axis.maxValue ?? Math.max(...known);
      if (!Number.isFinite(low)) [low, high] = [0, 1];
      if (low === high) [low, high] = [low - 0.5, high + 0.5];
      const at = (v) => from + ((v - low) / (high - low)) * (to - from);
      return Object.assign(at, { low, high });
    }
    ticks({ low, high }, given) {
      if (given) return given.map((t) => (typeof t === "object" ? t : { v: t, f: String(t) }));
      const raw = (high - low) / 5;
      const power = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
      const found = [];
      for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
        const v = i * step;
        found.push({ v, f: Math.abs(v) >= 1e4 ? v.toExponential(0) : String(+v.toPrecision(6)) });
      }
      return found;
    }
    text(x, y, words, more = {}) {
      const node = svg("text", { x, y, fill: "#333", ...more });
      node.textContent = words;
      this.svg.append(node);
      return node;
    }
    /** @param ys {scale, axis, side}, one or two */
    axes(x, xTicks, ys) {
      const { top, left, bottom, right } = this.margin;
      const [end, base] = [this.width - right, this.height - bottom];
      for (const { v, f } of xTicks) {
        this.text(x(v), base + 14, f, { "text-anchor": "middle" });
      }
      for (const { scale, axis, side } of ys) {
        const [at, anchor] = side ? [end + 6, "start"] : [left - 6, "end"];
        for (const { v, f } of this.ticks(scale, axis.ticks)) {
          if (!side) this.line(left, scale(v), end, scale(v), "#e0e0e0");
          this.text(at, scale(v) + 4, f, { "text-anchor": anchor });
        }
        const x0 = side ? this.width - 8 : 12;
        const y0 = (top + base) / 2;
        this.text(x0, y0, axis.title || "", {
          "text-anchor": "middle", "font-style": "italic", transform: `rotate(-90 ${x0} ${y0})`,
        });
      }
      this.line(left, base, end, base, "#333");
      this.text((left + end) / 2, this.height - 8, this.options.hAxis?.title || "", {
        "text-anchor": "middle", "font-style": "italic",
      });
    }
    line(x1, y1, x2, y2, stroke) {
      this.svg.append(svg("line", { x1, y1, x2, y2, stroke }));
    }
    mark(name, attributes, row, columnAt, words) {
      const node = svg(name, attributes);
      const title = svg("title", {});
      title.textContent = words;
      node.append(title);
      node.dataset.row = row;
      node.addEventListener("click", () => this.choose(row, columnAt));
      for (const type of ["onmouseover", "onmouseout"])
        node.addEventListener(type.slice(2), () =>
          events.trigger(this, type, { row, column: columnAt }));
      this.svg.append(node);
      return node;
    }
  }

  class XYChart extends Plot {
    constructor(container, kind) {
      super(container);
      this.kind = kind;
    }
    render() {
      this.frame();
      const { cols, rows } = this.data;
      const { top, left, bottom, right } = this.margin;
      const base = this.height - bottom;
      const series = this.series();
      const numeric = rows.every((row) => typeof row[0].v === "number");
      const place = rows.map((row, i) => (numeric ? row[0].v : i));
      const bars = series.some((s) => s.type === "bars");
      const gap = bars && rows.length > 1 && numeric
        ? Math.min(...place.slice(1).map((v, i) => Math.abs(v - place[i])).filter(Boolean))
        : 1;
      const half = bars || !numeric ? gap / 2 : 0;
      const ends = place.flatMap((v) => [v - half, v + half]);
      const x = this.scale(ends, [left, this.width - right], this.options.hAxis);
      const given = this.options.hAxis?.ticks;
      const named = rows.map((row, i) => ({ v: i, f: row[0].f ?? String(row[0].v) }));
      const xTicks = numeric || given ? this.ticks(x, given) : named;
      const sides = [...new Set(series.map((s) => s.side))].sort();
      const ys = sides.map((side) => {
        const axis = this.options.vAxes?.[side] || this.options.vAxis || {};
        const mine = series.filter((s) => s.side === side);
        const values = mine.flatMap((s) => rows.map((row) => row[s.at].v));
        if (mine.some((s) => s.type === "bars")) values.push(0);
        return { side, axis, scale: this.scale(values, [base, top], axis) };
      });
      this.axes(x, xTicks, ys);
      const width = (Math.abs(x(gap) - x(0)) * 0.9) / Math.max(1, series.filter((s) => s.type === "bars").length);
      // TFMA's histogram finds bars and annotations by their place in Google's drawing: a clipped
      // group of grid and bars, and behind it, third, a group for each annotation.
      const [columns, notes] = [svg("g", {}), svg("g", {})];
      const area = svg("g", { "clip-path": "none" });
      area.append(svg("g", {}), columns);
      this.svg.append(area, svg("g", {}), svg("g", {}), notes);
      let bar = 0;
      for (const s of series) {
        const y = ys.find((each) => each.side === s.side).scale;
        const shift = s.type === "bars" ? bar++ : 0;
        const points = rows.map((row, i) => ({
          row: i, x: x(place[i]), y: y(row[s.at].v || 0),
          known: s.type === "bars" || Number.isFinite(row[s.at].v),
          words: s.tooltip ? String(row[s.tooltip].v) : this.words(row, s.at),
        })).filter((p) => p.known);
        if (s.type === "line") {
          this.svg.append(svg("polyline", {
            points: points.map((p) => `${p.x},${p.y}`).join(" "), fill: "none", stroke: s.color,
            "stroke-width": 2, "stroke-dasharray": (s.lineDashStyle || []).join(" "),
          }));
        }
        for (const p of points) {
          if (s.type === "bars") {
            const total = width * series.filter((each) => each.type === "bars").length;
            const [from, to] = [Math.min(p.y, y(0)), Math.max(p.y, y(0))];
            const at = p.x - total / 2 + shift * width;
            columns.append(this.mark("rect", {
              x: at, y: from, width, height: to - from, fill: s.color,
            }, p.row, s.at, p.words));
            const note = svg("g", {});
            if (s.note && rows[p.row][s.at].v) {
              note.append(this.text(at + width / 2, from - 4, rows[p.row][s.note].v, {
                "text-anchor": "middle",
              }));
            }
            notes.append(note);
          } else {
            const r = s.type === "line" ? (points.length > 60 ? 2 : 3) : 4;
            this.mark("circle", { cx: p.x, cy: p.y, r, fill: s.color }, p.row, s.at, p.words);
          }
        }
      }
      this.legend(series);
    }
    series() {
      const { cols } = this.data;
      const found = [];
      cols.forEach((col, at) => {
        if (at === 0 || col.role) return;
        const next = cols[at + 1];
        const n = found.length;
        const own = this.options.series?.[n] || {};
        found.push({
          at, label: col.label, side: own.targetAxisIndex || 0,
          color: own.color || COLORS[n % COLORS.length],
          type: own.type || this.options.seriesType || this.kind,
          tooltip: next?.role === "tooltip" ? at + 1 : 0,
          note: next?.role === "annotation" ? at + 1 : 0,
          lineDashStyle: own.lineDashStyle,
          legend: own.visibleInLegend !== false && Boolean(col.label),
        });
      });
      return found;
    }
    words(row, at) {
      const { cols } = this.data;
      return `${row[0].f ?? row[0].v}\n${cols[at].label}: ${row[at].f ?? row[at].v}`;
    }
    legend(series) {
      if (this.options.legend?.position === "none") return;
      let x = this.margin.left;
      for (const s of series.filter((each) => each.legend)) {
        this.svg.append(svg("rect", { x, y: 18, width: 10, height: 10, fill: s.color }));
        this.text(x + 14, 27, s.label);
        x += 30 + 6.2 * s.label.length;
      }
    }
  }

  /** Rows of name, x, y, colour, size. */
  class BubbleChart extends Plot {
    render() {
      this.frame();
      const { rows, cols } = this.data;
      const { top, left, bottom, right } = this.margin;
      const { hAxis = {}, vAxis = {}, colorAxis = {}, sizeAxis = {} } = this.options;
      const values = (at) => rows.map((row) => row[at].v);
      const x = this.scale(values(1), [left, this.width - right], hAxis);
      const y = this.scale(values(2), [this.height - bottom, top], vAxis);
      this.axes(x, this.ticks(x, hAxis.ticks), [{ scale: y, axis: vAxis, side: 0 }]);
      // What is wanted: the mean label is the mean prediction.
      const [low, high] = [Math.max(x.low, y.low), Math.min(x.high, y.high)];
      this.line(x(low), y(low), x(high), y(high), "#bbb");
      const share = this.scale(values(3), [0, 1], colorAxis);
      const radius = this.scale(values(4), [sizeAxis.minSize ?? 3, sizeAxis.maxSize ?? 12], sizeAxis);
      const limit = (v, a, b) => Math.min(Math.max(v, a), b);
      rows.forEach((row, at) => {
        const [name, px, py, color, size] = row.map((c) => c.v);
        const words = [name, ...[px, py, color, size].map((v, i) => `${cols[i + 1].label} ${Number(v).toFixed(4)}`)];
        this.mark("circle", {
          cx: x(px), cy: y(py), stroke: "#777", "fill-opacity": 0.85,
          r: limit(radius(size), sizeAxis.minSize ?? 3, sizeAxis.maxSize ?? 12),
          fill: blend(colorAxis.colors || ["#f0f0f0", "#0a47a4"], limit(share(color), 0, 1)),
        }, at, 0, words.filter(Boolean).join("\n"));
      });
    }
  }

  function blend([from, to], share) {
    const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    const [a, b] = [parts(from), parts(to)];
    return `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * share)).join(",")})`;
  }

  function element(name, className = "", words = "") {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (words) node.textContent = words;
    return node;
  }

  function svg(name, attributes) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  const TYPES = {
    Table: (container) => new Table(container),
    LineChart: (container) => new XYChart(container, "line"),
    ComboChart: (container) => new XYChart(container, "line"),
    ScatterChart: (container) => new XYChart(container, "scatter"),
    ColumnChart: (container) => new XYChart(container, "bars"),
    BubbleChart: (container) => new BubbleChart(container),
  };

  class ChartWrapper {
    constructor({ container }) {
      this.container = container;
      this.chart = null;
    }
    setChartType(type) {
      this.type = type;
    }
    setDataTable(data) {
      this.data = data;
    }
    setOptions(options) {
      this.options = options;
    }
    getChart() {
      return this.chart;
    }
    draw() {
      if (!this.data) return;
      if (!this.chart || this.drawn !== this.type) {
        if (!TYPES[this.type]) throw new Error(`Charts of type ${this.type} are not drawn here.`);
        this.chart = TYPES[this.type](this.container);
        this.drawn = this.type;
        events.addListener(this.chart, "select", () => events.trigger(this, "select"));
      }
      this.chart.draw(this.data, this.options);
      events.trigger(this, "ready");
    }
  }

  window.google = {
    charts: { load: () => Promise.resolve() },
    visualization: {
      DataTable, DataView, ChartWrapper, arrayToDataTable, events,
      ColumnChart: function ColumnChart(container) {
        return TYPES.ColumnChart(container);
      },
    },
  };
  window.polymerSkipLoadingFontRoboto = true;
})();
