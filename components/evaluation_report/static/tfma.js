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
