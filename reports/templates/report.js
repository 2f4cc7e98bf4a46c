"use strict";
(() => {
  const page = document.documentElement;
  const grid = document.querySelector(".grid");
  const bar = document.querySelector(".bar");
  const dialog = document.querySelector("dialog");
  const further = document.querySelector("button.more");
  const later = document.querySelector("[data-kind=later]");
  const blocks = [...document.querySelectorAll("[data-kind=block]")];
  // Cards of a large page are text until they are shown; those of a small one stand in it.
  const cards = [...grid.children].map((node) => ({ choices: { ...node.dataset }, node }));
  if (later) {
    const { names, rows } = JSON.parse(later.textContent);
    rows.forEach((row, place) => cards.push({ choices: Object.fromEntries(names.map((name, at) => [name, row[at]])), place }));
  }
  for (const card of cards) card.characters = JSON.parse(card.choices.characters);
  const AT_ONCE = later ? 60 : Infinity;
  const orders = {
    worst: (a, b) => a.rank - b.rank,
    best: (a, b) => b.score - a.score || a.position - b.position,
    file: (a, b) => a.position - b.position,
    cost: (a, b) => b.cost - a.cost || a.rank - b.rank,
  };
  const FIELDS = ["theme", "character", "low", "high"];
  page.classList.add("scripted");

  // The choice lives in the address, so that it can be passed on: #rejected, or #rejected&theme=Sea&low=0.7&order=file.
  function choice() {
    const more = new URLSearchParams(location.hash.slice(1));
    const end = more.keys().next().value ?? "all";
    const button = bar.querySelector(`[data-show="${CSS.escape(end)}"]`);
    const chosen = { end: button ? end : "all", order: more.get("order") in orders ? more.get("order") : "worst" };
    for (const name of FIELDS) chosen[name] = more.get(name) ?? "";
    return chosen;
  }

  function fits({ choices, characters }, { end, theme, character, low, high }) {
    if (end !== "all" && choices.end !== end) return false;
    if (theme !== "" && choices.theme !== theme) return false;
    if (character !== "" && !characters.includes(character)) return false;
    if (low === "" && high === "") return true;
    return choices.core !== "" && (low === "" || +choices.core >= +low) && (high === "" || +choices.core <= +high);
  }

  // A block of cards is read when the first of them is shown. Each is the number of its markup and the values that go
  // where this has a NUL; a number stands for a value that many cards have.
  let size = 0, shared;
  const read = [];
  function htmlOf(place) {
    shared ??= JSON.parse(document.querySelector("[data-kind=shared]").textContent);
    if (!read.length) size = (read[0] = JSON.parse(blocks[0].textContent)).length;
    const number = Math.floor(place / size);
    read[number] ??= JSON.parse(blocks[number].textContent);
    const [markup, ...values] = read[number][place % size];
    const value = (one) => (typeof one === "number" ? shared.values[one] : one);
    return shared.markups[markup].split("\0").reduce((html, piece, at) => html + value(values[at - 1]) + piece);
  }

  function nodeOf(card) {
    if (!card.node) {
      const made = document.createElement("template");
      made.innerHTML = htmlOf(card.place);
      card.node = made.content.firstElementChild;
    }
    return card.node;
  }

  let waiting = [];
  function showMore(number = AT_ONCE) {
    grid.append(...waiting.splice(0, number).map(nodeOf));
    page.dataset.made = grid.childElementCount;
    if (!further) return;
    further.hidden = waiting.length === 0;
    further.textContent = `Show more of ${waiting.length.toLocaleString("en")}`;
    // Observed anew, so that a window that is still not filled asks again.
    nearEnd.unobserve(further);
    nearEnd.observe(further);
  }
  const nearEnd = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && waiting.length && showMore(), { rootMargin: "1200px" });

  function show() {
    const chosen = choice();
    for (const button of bar.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === chosen.end);
    for (const name of [...FIELDS, "order"]) if (bar.elements[name]) bar.elements[name].value = chosen[name];
    const shown = cards.filter((card) => fits(card, chosen)).sort((a, b) => orders[chosen.order](a.choices, b.choices));
    grid.replaceChildren();
    waiting = [...shown];
    showMore();
    document.querySelector(".none-left").hidden = shown.length > 0;
    const total = cards.length.toLocaleString("en");
    bar.querySelector("output").textContent = shown.length === cards.length ? "" : `${shown.length.toLocaleString("en")} of ${total} shown`;
    page.dataset.shown = shown.length;
  }

  function choose(change) {
    const { end, order, ...rest } = { ...choice(), ...change };
    const more = new URLSearchParams(Object.entries({ ...rest, order: order === "worst" ? "" : order }).filter(([, value]) => value !== ""));
    history.replaceState(null, "", `#${[end, more.toString()].filter(Boolean).join("&")}`);
    show();
  }

  bar.addEventListener("click", (event) => {
    const button = event.target.closest("[data-show]");
    if (button) choose({ end: button.dataset.show });
  });
  bar.addEventListener("change", (event) => choose({ [event.target.name]: event.target.value }));
  bar.addEventListener("submit", (event) => event.preventDefault());
  further?.addEventListener("click", () => showMore());
  addEventListener("hashchange", show);
  addEventListener("beforeprint", () => showMore(Infinity));

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
  const broken = new Set();
  function isBroken(image) {
    if (!image.closest(".picture")) return;
    image.closest(".picture").classList.add("missing");
    page.dataset.broken = broken.add(image).size;
  }
  addEventListener("error", (event) => event.target instanceof HTMLImageElement && isBroken(event.target), true);
  addEventListener("load", () => {
    const images = [...document.querySelectorAll("main img, header img")];
    page.dataset.broken = broken.size;
    for (const image of images) if (image.complete && image.naturalWidth === 0) isBroken(image);
    page.dataset.pictures = images.length;
    page.dataset.overflow = page.scrollWidth - page.clientWidth;
    const own = new URL(".", location.href).href;
    page.dataset.requests = performance.getEntriesByType("resource").filter(({ name }) => !name.startsWith("data:") && !name.startsWith(own)).length;
  });

  show();
})();
