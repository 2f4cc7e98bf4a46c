"use strict";
(() => {
  const page = document.documentElement;
  const grid = document.querySelector(".grid");
  const cards = [...grid.children];
  const bar = document.querySelector(".bar");
  const dialog = document.querySelector("dialog");
  const orders = {
    worst: (a, b) => a.dataset.rank - b.dataset.rank,
    best: (a, b) => b.dataset.score - a.dataset.score || a.dataset.position - b.dataset.position,
    file: (a, b) => a.dataset.position - b.dataset.position,
    cost: (a, b) => b.dataset.cost - a.dataset.cost || a.dataset.rank - b.dataset.rank,
  };
  page.classList.add("scripted");

  // The choice lives in the address, so that it can be passed on: #rejected, or #rejected&theme=Sea&order=file.
  function choice() {
    const more = new URLSearchParams(location.hash.slice(1));
    const end = more.keys().next().value ?? "all";
    const button = bar.querySelector(`[data-show="${CSS.escape(end)}"]`);
    return { end: button ? end : "all", theme: more.get("theme") ?? "", order: more.get("order") in orders ? more.get("order") : "worst" };
  }

  function show() {
    const { end, theme, order } = choice();
    for (const button of bar.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === end);
    if (bar.elements.theme) bar.elements.theme.value = theme;
    bar.elements.order.value = order;
    for (const card of cards) card.hidden = (end !== "all" && card.dataset.end !== end) || (theme !== "" && card.dataset.theme !== theme);
    grid.append(...[...cards].sort(orders[order]));
    const left = cards.filter((card) => !card.hidden).length;
    document.querySelector(".none-left").hidden = left > 0;
    bar.querySelector("output").textContent = left === cards.length ? "" : `${left} of ${cards.length} shown`;
    page.dataset.shown = left;
  }

  function choose(change) {
    const { end, theme, order } = { ...choice(), ...change };
    const more = new URLSearchParams({ ...(theme && { theme }), ...(order !== "worst" && { order }) });
    history.replaceState(null, "", `#${[end, more.toString()].filter(Boolean).join("&")}`);
    show();
  }

  bar.addEventListener("click", (event) => {
    const button = event.target.closest("[data-show]");
    if (button) choose({ end: button.dataset.show });
  });
  bar.addEventListener("change", (event) => choose({ [event.target.name]: event.target.value }));
  bar.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", show);

  document.addEventListener("click", (event) => {
    const picture = event.target.closest("button.picture");
    if (!picture) return void (event.target === dialog && dialog.close());
    const [image, line] = [dialog.querySelector("img"), dialog.querySelector("p")];
    image.src = picture.querySelector("img").src;
    image.alt = picture.querySelector("img").alt;
    line.textContent = picture.dataset.caption;
    if (picture.dataset.link) {
      const link = Object.assign(document.createElement("a"), { href: picture.dataset.link, target: "_blank", rel: "noopener noreferrer", textContent: "the original" });
      line.append(" · ", link);
    }
    dialog.showModal();
  });

  // A picture that does not decode says so instead of leaving a hole; the counts are for whoever checks the page.
  addEventListener("load", () => {
    const images = [...document.querySelectorAll("main img, header img")];
    const broken = images.filter((image) => image.naturalWidth === 0);
    for (const image of broken) image.closest(".picture").classList.add("missing");
    page.dataset.pictures = images.length;
    page.dataset.broken = broken.length;
    page.dataset.overflow = page.scrollWidth - page.clientWidth;
    page.dataset.requests = performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:")).length;
  });

  show();
})();
