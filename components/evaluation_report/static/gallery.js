// The gallery's filters and its larger view. Without them every image is shown.
(() => {
  const gallery = document.getElementById("cards");
  if (!gallery) return;
  const [kind, group, and, doubt] = ["g-kind", "g-group", "g-and", "g-doubt"].map((id) => document.getElementById(id));
  const cards = [...gallery.children];

  function update() {
    let shown = 0;
    for (const card of cards) {
      const groups = card.dataset.groups.split(" ");
      card.hidden =
        (kind.value !== "" && !card.dataset.kinds.split(" ").includes(kind.value)) ||
        [group, and].some((list) => list.value !== "" && !groups.includes(list.value)) ||
        (doubt.checked && !card.querySelector(".doubts"));
      shown += !card.hidden;
    }
    document.getElementById("g-count").textContent = `${shown} of ${cards.length} shown`;
  }
  for (const input of [kind, group, and, doubt]) input.addEventListener("change", update);

  const dialog = document.getElementById("large");
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const picture = button.querySelector("img"), large = dialog.querySelector("img");
    large.src = picture.src;
    large.alt = picture.alt;
    dialog.querySelector(".told").replaceChildren(button.parentElement.querySelector(".told").cloneNode(true));
    dialog.showModal();
  });
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  update();
})();
