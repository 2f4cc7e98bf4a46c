"use strict";
(() => {
  const token = document.body.dataset.token;
  const said = document.getElementById("said");
  let quiet = 0;
  function say(text) {
    said.textContent = text;
    clearTimeout(quiet);
    quiet = setTimeout(() => (said.textContent = ""), 5000);
  }
  async function problem(reply) {
    const kind = reply.headers.get("content-type") ?? "";
    return kind.includes("json") ? (await reply.json()).detail : `The server answered ${reply.status}`;
  }
  async function post(address, body, headers = {}) {
    const reply = await fetch(address, { method: "POST", body, headers: { "X-Form-Token": token, Accept: "application/json", ...headers } });
    if (!reply.ok) throw new Error(await problem(reply));
    return reply;
  }

  // --- Sign in: a key in the fragment never reaches a server's log, and leaves the address at once.
  const form = document.getElementById("sign-in");
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) history.replaceState(null, "", location.pathname + location.search);
  if (form && given) {
    form.elements.key.value = given;
    form.submit();
  }

  // --- Live: parts of the page are fetched anew and exchanged where they differ.
  const fetched = new Map();
  async function refresh() {
    const reply = await fetch(location.href, { headers: { "X-Part": "live" } });
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other && other.outerHTML !== part.outerHTML && !part.contains(document.activeElement?.closest("input, select"))) part.replaceWith(document.importNode(other, true));
    }
  }
  function later(name, work, ms) {
    if (fetched.has(name)) return;
    fetched.set(name, setTimeout(() => { fetched.delete(name); work().catch(() => {}); }, ms));
  }
  const grid = document.getElementById("cards");
  async function card(id) {
    const reply = await fetch(`/cards/${id}`);
    if (!reply.ok) return;
    const fresh = document.createElement("template");
    fresh.innerHTML = await reply.text();
    const made = fresh.content.firstElementChild;
    const old = document.getElementById(made.id);
    if (old && old.contains(document.activeElement)) made.dataset.refocus = "1";
    if (old) old.replaceWith(made);
    else { made.classList.add("new"); grid.prepend(made); }
    if (made.dataset.refocus) made.focus();
    judge();
  }
  const SHOWN = new Set(["generation.completed", "generation.rejected", "generation.failed", "generation.canceled", "generation.queued", "generation.generating", "generation.validating"]);
  const wanted = document.body.dataset.listen;
  if (wanted) {
    const query = wanted === "all" ? "" : `?batchId=${encodeURIComponent(wanted)}`;
    const events = new EventSource(`/api/events${query}`);
    let before = false;
    events.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.type === "listening" && !before) return void (before = true);
      later("live", refresh, wanted === "all" ? 1500 : 700);
      if (grid && event.generationId && SHOWN.has(event.type)) later(`card ${event.generationId}`, () => card(event.generationId), 150);
    };
  }
  const every = Number(document.body.dataset.refresh);
  if (every) setInterval(() => refresh().catch(() => {}), every * 1000);

  // --- Forms that only say something stay on the page; those that ask first, ask.
  document.addEventListener("submit", async (event) => {
    const sent = event.target;
    if (sent.dataset.confirm && !confirm(sent.dataset.confirm)) return event.preventDefault();
    if (!sent.hasAttribute("data-feedback")) return;
    event.preventDefault();
    const fields = new FormData(sent, event.submitter);
    if (fields.has("rating") && !fields.has("feedback_type")) fields.set("feedback_type", "rating");
    try {
      await post(sent.action, new URLSearchParams(fields));
      const shown = sent.closest("[data-card]");
      await card(shown.id.slice(2));
      say("Kept.");
    } catch (failure) { say(failure.message); }
  });

  // --- A batch: filters, thresholds, keys.
  const bar = document.getElementById("bar");
  const knobs = document.getElementById("judge");
  let end = "all";
  const cards = () => [...grid.querySelectorAll("[data-card]")];
  function would(shown) {
    const { core, style, styleDecides } = shown.dataset;
    if (core === undefined || !["accepted", "rejected"].includes(shown.dataset.end)) return shown.dataset.end;
    const [least, leastStyle] = [...knobs.querySelectorAll("input")].map((knob) => Number(knob.value));
    return Number(core) >= least && (styleDecides === "0" || Number(style) >= leastStyle) ? "accepted" : "rejected";
  }
  function judge() {
    if (!grid) return;
    const counts = { all: 0, accepted: 0, rejected: 0, failed: 0, canceled: 0, unfinished: 0 };
    const moved = knobs && [...knobs.querySelectorAll("input")].some((knob) => Number(knob.value) !== Number(knobs.dataset[knob.name]));
    const words = bar.elements.find.value.trim().toLowerCase();
    const theme = bar.elements.theme?.value ?? "";
    let left = 0, changed = 0;
    for (const shown of cards()) {
      const now = moved ? would(shown) : shown.dataset.end;
      counts.all += 1;
      counts[now] += 1;
      const differs = now !== shown.dataset.end;
      changed += differs;
      shown.classList.toggle("would-accept", differs && now === "accepted");
      shown.classList.toggle("would-reject", differs && now === "rejected");
      const note = shown.querySelector(".would");
      note.hidden = !differs;
      note.textContent = differs ? `would be ${now}` : "";
      const fits = (end === "all" || now === end) && (!theme || shown.dataset.theme === theme) && (!words || shown.querySelector(".prompt").textContent.toLowerCase().includes(words));
      shown.hidden = !fits;
      left += fits;
    }
    for (const button of bar.querySelectorAll("[data-show]")) {
      button.querySelector("b").textContent = counts[button.dataset.show] || "";
      button.setAttribute("aria-pressed", button.dataset.show === end);
      button.hidden = !counts[button.dataset.show] && !["all", "accepted", "rejected"].includes(button.dataset.show);
    }
    bar.querySelector("output").textContent = left === counts.all ? "" : `${left} of ${counts.all} shown`;
    document.querySelector(".none-left").hidden = left > 0 || counts.all === 0;
    if (knobs) document.getElementById("would").textContent = moved ? `${counts.accepted} accepted, ${counts.rejected} rejected; ${changed} ${changed === 1 ? "changes" : "change"} sides.` : "";
  }
  if (grid) {
    bar.addEventListener("click", (event) => {
      const button = event.target.closest("[data-show]");
      if (button) { end = button.dataset.show; judge(); }
    });
    bar.addEventListener("input", judge);
    bar.addEventListener("submit", (event) => event.preventDefault());
    knobs?.addEventListener("input", (event) => { event.target.nextElementSibling.textContent = Number(event.target.value).toFixed(3); judge(); });
    knobs?.querySelector("[data-reset]").addEventListener("click", () => {
      for (const knob of knobs.querySelectorAll("input")) { knob.value = knobs.dataset[knob.name]; knob.nextElementSibling.textContent = Number(knob.value).toFixed(3); }
      judge();
    });
    judge();
  }

  const enlarged = document.getElementById("enlarged");
  const compared = document.getElementById("compared");
  function enlarge(picture) {
    const image = enlarged.querySelector("img");
    image.src = picture.dataset.full;
    image.alt = picture.querySelector("img").alt;
    enlarged.querySelector("p").textContent = picture.dataset.caption;
    enlarged.showModal();
  }
  let first = null;
  function compare(shown) {
    if (!shown?.querySelector(".picture.large[data-full]")) return;
    if (!first || first === shown || !first.isConnected) {
      first?.classList.remove("chosen");
      first = first === shown ? null : shown;
      first?.classList.add("chosen");
      return say(first ? "Choose a second picture to compare with." : "");
    }
    const figures = [...compared.querySelectorAll("figure")];
    for (const [place, one] of [first, shown].entries()) {
      const picture = one.querySelector(".picture.large");
      Object.assign(figures[place].querySelector("img"), { src: picture.dataset.full, alt: picture.querySelector("img").alt });
      figures[place].querySelector("button").dataset.choose = one.id;
    }
    first.classList.remove("chosen");
    first = null;
    compared.showModal();
  }
  document.addEventListener("click", (event) => {
    if (event.target.tagName === "DIALOG") return event.target.close();
    const picture = event.target.closest("button.picture[data-full]");
    if (picture) return enlarge(picture);
    const pair = event.target.closest("[data-compare]");
    if (pair) return compare(pair.closest("[data-card]"));
    const choice = event.target.closest("[data-choose]");
    if (choice) {
      compared.close();
      document.getElementById(choice.dataset.choose)?.querySelector('.words [value="heart"]')?.click();
    }
  });

  const BY_KEY = { h: '[value="heart"]', o: '[value="outlier"]', y: '[value="accepted"]', n: '[value="rejected"]' };
  document.addEventListener("keydown", (event) => {
    if (!grid || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog[open]")) return;
    const now = document.activeElement?.closest?.("[data-card]");
    const shown = cards().filter((one) => !one.hidden);
    if (event.key === "j" || event.key === "k") {
      const place = shown.indexOf(now) + (event.key === "j" ? 1 : now ? -1 : 0);
      const next = shown[Math.max(0, Math.min(place, shown.length - 1))];
      next?.focus();
      return next?.scrollIntoView({ block: "center" });
    }
    if (event.key === "/") { event.preventDefault(); return bar.elements.find.focus(); }
    if (!now) return;
    if (event.key === "c") return compare(now);
    if (event.key === "Enter" && event.target === now) return now.querySelector(".picture.large[data-full]")?.click();
    const wish = BY_KEY[event.key] ?? (/^[1-5]$/.test(event.key) ? `.stars [value="${event.key}"]` : null);
    if (wish) now.querySelector(`.words ${wish}`)?.click();
  });

  // --- A new batch: the file is sent as it is, first for its price.
  const fresh = document.getElementById("new");
  const KINDS = { csv: "text/csv", tsv: "text/tab-separated-values", json: "application/json", jsonl: "application/x-ndjson", ndjson: "application/x-ndjson", txt: "text/plain", xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", xlsm: "application/vnd.ms-excel.sheet.macroenabled.12", ods: "application/vnd.oasis.opendocument.spreadsheet" };
  let file = null;
  function choose(one) {
    if (!one) return;
    const ending = one.name.split(".").pop().toLowerCase();
    if (!(ending in KINDS)) return say(`A file that ends in .${ending} is not read; give .csv, .tsv, .json, .jsonl, .txt, .xlsx or .ods`);
    file = one;
    fresh.querySelector(".chosen").textContent = `${one.name}, ${(one.size / 1024).toLocaleString(undefined, { maximumFractionDigits: 1 })} kB`;
    fresh.querySelector(".chosen").hidden = false;
    fresh.querySelector(".wishes").hidden = false;
    if (!fresh.elements.name.value) fresh.elements.name.value = one.name.replace(/\.[^.]*$/, "").slice(0, 200);
    price();
  }
  function send(dry) {
    const query = new URLSearchParams({ kind: file.name.split(".").pop().toLowerCase(), ...(dry && { dryRun: "true" }) });
    for (const name of ["name", "provider", "character", "maxCostUsd"]) if (fresh.elements[name].value) query.set(name, fresh.elements[name].value);
    return post(`/batches?${query}`, file, { "Content-Type": KINDS[file.name.split(".").pop().toLowerCase()] });
  }
  async function price() {
    const shown = fresh.querySelector(".price");
    const start = fresh.querySelector(".primary");
    start.disabled = true;
    shown.textContent = "Pricing …";
    try {
      const plan = await (await send(true)).json();
      shown.replaceChildren();
      const line = document.createElement("p");
      line.append(Object.assign(document.createElement("b"), { textContent: `${plan.new} new prompts, about $${plan.expectedUsd}` }), `, at most $${plan.atMostUsd} set aside${plan.known ? `; ${plan.known} are known and passed over` : ""}.`);
      const list = document.createElement("ul");
      for (const text of [...plan.translated, ...plan.warnings]) list.append(Object.assign(document.createElement("li"), { textContent: text }));
      shown.append(line, ...(list.children.length ? [list] : []));
      start.disabled = plan.new === 0;
    } catch (failure) { shown.textContent = failure.message; }
  }
  if (fresh) {
    fresh.querySelector("#file").addEventListener("change", (event) => choose(event.target.files[0]));
    for (const kind of ["dragenter", "dragover"]) fresh.addEventListener(kind, (event) => { event.preventDefault(); fresh.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) fresh.addEventListener(kind, (event) => { event.preventDefault(); fresh.classList.remove("over"); });
    fresh.addEventListener("drop", (event) => choose(event.dataTransfer.files[0]));
    fresh.querySelector("[data-price]").addEventListener("click", price);
    fresh.querySelector(".wishes").addEventListener("change", price);
    fresh.addEventListener("submit", async (event) => {
      event.preventDefault();
      try { location.href = `/batches/${(await (await send(false)).json()).id}`; } catch (failure) { say(failure.message); }
    });
  }
})();
