// Puts TFMA's results into TFMA's elements; the lists above them choose what is shown.
(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { slices, config, plots, runs } = read("tfma-data");

  function choose(id, names, show, first) {
    const list = document.getElementById(id);
    for (const name of names) list.add(new Option(name));
    if (names.includes(first)) list.value = first;
    list.addEventListener("change", () => show(list.value));
    show(list.value);
  }

  // What TFMA's elements leave unnamed for those who do not see them, as they draw it, and again.
  const watched = new WeakSet();
  const NAMES = {
    "paper-slider": "Fewest examples of a slice",
    'input[type="number"]': "Fewest examples of a slice, as a number",
    ".close-btn": "Close",
  };
  function mend(root) {
    for (const [which, name] of Object.entries(NAMES))
      for (const each of root.querySelectorAll(which))
        if (!each.ariaLabel) each.ariaLabel = name;
    for (const each of root.querySelectorAll('input[role="button"]')) each.removeAttribute("role");
    for (const each of root.querySelectorAll("h4:not([aria-level])")) {
      each.role = "heading";
      each.ariaLevel = "3";
    }
    for (const each of root.querySelectorAll("*")) if (each.shadowRoot) watch(each.shadowRoot);
  }
  function watch(root) {
    if (watched.has(root)) return;
    watched.add(root);
    new MutationObserver(() => mend(root)).observe(root, { childList: true, subtree: true });
    mend(root);
  }
  watch(document.querySelector("main"));

  const metrics = document.getElementById("metrics");
  metrics.config = config;
  choose("columns", Object.keys(slices), (name) => {
    metrics.data = slices[name];
  }, "Young");

  const plot = document.getElementById("plot");
  if (plot)
    choose("plot-slices", Object.keys(plots), (name) => {
      plot.data = plots[name].data;
      plot.config = plots[name].config;
    });

  const series = document.getElementById("series");
  if (series) {
    series.config = { isModelCentric: true };
    series.data = runs;
  }
})();
