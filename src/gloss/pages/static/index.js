// The list of features: search, filters, sorting, keys. Rows are made as they scroll into view.
"use strict";
(() => {
  const BATCH = 60;
  const { columns, rows: raw, chunks = 0, total = raw.length } = window.glossFeatures;
  const asRow = ([path, label, texts, rules, peek, state, reason, share, strongest, scores], number) => {
    const haystack = [label, ...Object.values(texts), rules, reason, peek.join("")].join("\n").toLowerCase();
    return { path, label, texts, peek, state, reason, share, strongest, scores, number, haystack };
  };
  const rows = raw.map(asRow);

  const $ = (selector) => document.querySelector(selector);
  const body = $("#features tbody");
  const search = $("#search");
  const pick = $("#column");
  const scoreEnds = [...document.querySelectorAll("#score-range input")];
  const densityEnds = [...document.querySelectorAll("#density-range input")];
  const start = () => ({ q: "", state: "", column: 0, score: [0, 100], density: [-60, 0], sort: "number", down: false });
  let wanted = start();
  let found = rows;
  let shown = 0;
  let selected = -1;

  // ---- numbers for people

  const decimal = (x) => (x === null || x === undefined ? "–" : x.toFixed(2).replace(/^(-?)0\./, "$1.").replace("-", "−"));
  const percent = (share) => {
    if (!share) return "0";
    const p = share * 100;
    return (p >= 10 ? p.toFixed(0) : p >= 0.001 ? String(Number(p.toPrecision(2))) : p.toFixed(5).replace(/0+$/, "")) + "\u202f%";
  };
  const score = (row) => row.scores[wanted.column] ?? null;
  const text = (row) => row.texts[columns[wanted.column]?.explainer] ?? Object.values(row.texts)[0] ?? row.reason;
  const clamped = (x, signed) => (signed ? (Math.min(Math.max(x ?? 0, -1), 1) + 1) * 50 : Math.min(Math.max(x ?? 0, 0), 1) * 100);

  // ---- which rows, in which order

  const fits = (row, words) => {
    if (wanted.state && row.state !== wanted.state) return false;
    if (wanted.score[0] > 0 || wanted.score[1] < 100) {
      const value = score(row)?.[0];
      if (value === null || value === undefined) return false;
      if ((wanted.score[0] > 0 && value < wanted.score[0] / 100) || (wanted.score[1] < 100 && value > wanted.score[1] / 100)) return false;
    }
    const [low, high] = wanted.density;
    if (low > -60 && row.share < 10 ** (low / 10)) return false;
    if (high < 0 && row.share > 10 ** (high / 10)) return false;
    return words.every((word) => row.haystack.includes(word));
  };
  const keys = {
    number: (row) => row.number,
    text: (row) => (row.state === "explained" ? text(row).toLowerCase() : null),
    score: (row) => score(row)?.[0] ?? null,
    density: (row) => row.share,
  };
  const compare = ([x, a], [y, b]) => {
    if (x === null || y === null) return (x === null) - (y === null) || a.number - b.number; // rows without a value come last, either way
    const order = x < y ? -1 : x > y ? 1 : 0;
    return (wanted.down ? -order : order) || a.number - b.number;
  };

  // ---- drawing

  const make = (tag, name, content) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (content !== undefined) node.textContent = content;
    return node;
  };
  const at = (node, left, width) => {
    node.style.left = left + "%";
    if (width !== undefined) node.style.width = width + "%";
    return node;
  };
  const scoreCell = (row) => {
    const cell = make("td", "value");
    const values = score(row);
    if (!values || values[0] === null) {
      cell.append(make("span", "n quiet", "–"));
      return cell;
    }
    const [value, low, high, control] = values;
    cell.append(make("span", "n", decimal(value)));
    cell.title = `${decimal(value)} (${decimal(low)}–${decimal(high)}); with an exchanged explanation ${decimal(control)}`;
    if (!columns[wanted.column].bounded) return cell; // no scale from 0 to 1 holds nats
    const signed = value <= -0.005; // then the bar's scale goes from -1 to 1
    const [zero, end] = [clamped(0, signed), clamped(value, signed)];
    const track = make("span", signed ? "track signed" : "track");
    track.append(at(make("span", "fill"), Math.min(zero, end), Math.abs(end - zero)));
    if (low !== null && high !== null) track.append(at(make("span", "whisker"), clamped(low, signed), clamped(high, signed) - clamped(low, signed)));
    if (control !== null) track.append(at(make("span", "control"), clamped(control, signed)));
    cell.append(track);
    return cell;
  };
  const densityCell = (row) => {
    const cell = make("td", "density");
    cell.append(make("span", "n", percent(row.share)));
    const track = make("span", "track");
    if (row.share) track.append(at(make("span", "fill"), 0, Math.max(2, (Math.log10(row.share) + 6) / 0.06)));
    cell.append(track);
    if (row.share) cell.title = `1 in ${Math.round(1 / row.share).toLocaleString("en")} tokens; strongest ${row.strongest}`;
    return cell;
  };
  // What stands between backticks is text of the corpus and is set as such, as page_text.prose does for the other pages.
  const spans = /(`` .+? ``|`[^`]+`)/;
  const bare = (span) => (span.startsWith("`` ") ? span.slice(3, -3) : span.slice(1, -1));
  const prose = (said) => said.split(spans).map((part, i) => (i % 2 ? make("code", "", bare(part)) : part));
  const draw = (row) => {
    const line = make("tr", row.state);
    line.append(make("td", "number", row.label));
    const words = make("td", "words");
    const link = make("a");
    link.append(...prose(text(row)));
    link.href = row.path;
    words.append(link);
    line.append(words);
    const peek = make("td", "peek");
    const before = make("span", "before");
    before.append(make("span", "", row.peek[0]));
    const after = make("span", "after");
    after.append(make("b", "", row.peek[1]), row.peek[2]);
    const context = make("p");
    context.append(before, after);
    peek.append(context);
    line.append(peek, scoreCell(row), densityCell(row));
    return line;
  };
  const more = () => {
    const next = found.slice(shown, shown + BATCH);
    body.append(...next.map(draw));
    shown += next.length;
  };
  const AHEAD = 900; // pixels below the window that are filled already
  const fill = () => { while (shown < found.length && $("#end").getBoundingClientRect().top < innerHeight + AHEAD) more(); };

  // ---- keeping page, controls and address together

  const output = (fieldset, content) => { $(`${fieldset} output`).textContent = content; };
  const labels = () => {
    const [low, high] = wanted.score;
    output("#score-range", low === 0 && high === 100 ? "any" : `${decimal(low / 100)} to ${decimal(high / 100)}`);
    const [rare, dense] = wanted.density;
    const end = (x) => percent(10 ** (x / 10));
    output("#density-range", rare === -60 && dense === 0 ? "any" : rare === -60 ? `at most ${end(dense)}` : dense === 0 ? `at least ${end(rare)}` : `${end(rare)} to ${end(dense)}`);
    for (const button of document.querySelectorAll(".chips button")) button.setAttribute("aria-pressed", String(button.dataset.state === wanted.state));
    for (const button of document.querySelectorAll("[data-sort]")) {
      const sorted = button.dataset.sort === wanted.sort;
      button.closest("th").setAttribute("aria-sort", !sorted ? "none" : wanted.down ? "descending" : "ascending");
    }
    for (const [name, ends] of [["score", scoreEnds], ["density", densityEnds]]) {
      const [lowest, highest] = [Number(ends[0].min), Number(ends[0].max)];
      const dual = ends[0].parentElement;
      dual.style.setProperty("--low", ((wanted[name][0] - lowest) / (highest - lowest)) * 100 + "%");
      dual.style.setProperty("--high", ((wanted[name][1] - lowest) / (highest - lowest)) * 100 + "%");
    }
  };
  const isFiltered = () => JSON.stringify({ ...wanted, column: 0, sort: "", down: false }) !== JSON.stringify({ ...start(), sort: "" });
  const address = () => {
    const kept = new URLSearchParams();
    const initial = start();
    for (const [key, value] of Object.entries(wanted)) if (String(value) !== String(initial[key])) kept.set(key, String(value));
    history.replaceState(null, "", kept.size ? "#" + kept : location.pathname + location.search);
    try { sessionStorage.setItem("gloss.index", location.hash); } catch { /* storage is off: the way back leads to the whole list */ }
  };
  const tell = () => {
    const coming = rows.length < total ? `, ${(total - rows.length).toLocaleString("en")} to come` : "";
    $("#found").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} features${coming}`;
  };
  const update = () => {
    const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
    const key = keys[wanted.sort];
    found = rows.filter((row) => fits(row, words)).map((row) => [key(row), row]).sort(compare).map(([, row]) => row);
    body.replaceChildren();
    shown = 0;
    selected = -1;
    tell();
    $("#none").hidden = found.length > 0;
    $("#features").hidden = found.length === 0;
    $("#clear").hidden = !isFiltered();
    $("#random").hidden = found.length === 0;
    labels();
    address();
    fill();
  };
  const controls = () => {
    search.value = wanted.q;
    pick.value = String(wanted.column);
    scoreEnds.forEach((end, i) => { end.value = wanted.score[i]; });
    densityEnds.forEach((end, i) => { end.value = wanted.density[i]; });
  };
  const restore = () => {
    const kept = new URLSearchParams(location.hash.slice(1));
    wanted = start();
    const pair = (name, [low, high]) => {
      const ends = (kept.get(name) ?? "").split(",").map(Number);
      return ends.length === 2 && ends.every((x) => Number.isFinite(x) && x >= low && x <= high) ? ends : [low, high];
    };
    wanted.q = kept.get("q") ?? "";
    wanted.state = ["explained", "failed", "inactive"].includes(kept.get("state")) ? kept.get("state") : "";
    wanted.column = columns[Number(kept.get("column"))] ? Number(kept.get("column")) : 0;
    wanted.score = pair("score", wanted.score);
    wanted.density = pair("density", wanted.density);
    wanted.sort = Object.hasOwn(keys, kept.get("sort")) ? kept.get("sort") : "number";
    wanted.down = kept.get("down") === "true";
    if (location.hash === "#search") search.focus();
    controls();
    update();
  };

  // ---- what people do

  columns.forEach((column, i) => pick.append(new Option(column.label, String(i))));
  $("#pick").hidden = columns.length < 2;
  $("#score-range").hidden = columns.length === 0;
  search.addEventListener("input", () => { wanted.q = search.value; update(); });
  pick.addEventListener("change", () => { wanted.column = Number(pick.value); update(); });
  const slide = (name, ends) => ends.forEach((end, i) => end.addEventListener("input", () => {
    const other = Number(ends[1 - i].value);
    if (i === 0 ? Number(end.value) > other : Number(end.value) < other) end.value = other;
    wanted[name] = ends.map((x) => Number(x.value));
    update();
  }));
  slide("score", scoreEnds);
  slide("density", densityEnds);
  for (const button of document.querySelectorAll(".chips button")) {
    button.addEventListener("click", () => { wanted.state = button.dataset.state; update(); });
  }
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.sort;
      const startsDown = name === "score" || name === "density"; // the best and the most frequent first
      wanted.down = wanted.sort === name ? !wanted.down : startsDown;
      wanted.sort = name;
      update();
    });
  }
  const clear = () => {
    wanted = { ...start(), column: wanted.column, sort: wanted.sort, down: wanted.down };
    controls();
    update();
  };
  $("#clear").addEventListener("click", clear);
  $("#none button").addEventListener("click", clear);
  $(".filters").addEventListener("submit", (event) => event.preventDefault());
  const open = (row) => { if (row) location.href = row.path; };
  const random = () => open(found[Math.floor(Math.random() * found.length)]);
  $("#random").addEventListener("click", (event) => { event.preventDefault(); random(); });
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (!line || event.target.closest("a") || String(getSelection())) return;
    line.querySelector("a").click();
  });
  const select = (number) => {
    while (number >= shown && shown < found.length) more();
    if (number < 0 || number >= found.length) return;
    body.children[selected]?.classList.remove("selected");
    selected = number;
    body.children[selected].classList.add("selected");
    body.children[selected].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inSearch = event.target === search;
    if (inSearch && event.key === "Escape") { search.blur(); return; }
    if (inSearch && (event.key === "Enter" || event.key === "ArrowDown")) { search.blur(); select(0); event.preventDefault(); return; }
    if (event.target.closest("input, select")) return;
    const onControl = event.target.closest("button, a");
    if (event.key === "/") { search.focus(); search.select(); }
    else if (event.key === "j" || event.key === "ArrowDown") select(selected + 1);
    else if (event.key === "k" || event.key === "ArrowUp") select(selected - 1);
    else if (event.key === "Enter" && !onControl && selected >= 0) open(found[selected]);
    else if (event.key === "r") random();
    else return;
    event.preventDefault();
  });
  new IntersectionObserver(fill, { rootMargin: `${AHEAD}px` }).observe($("#end"));
  addEventListener("hashchange", restore);
  restore();

  // ---- a long list comes in chunks, packed

  (async () => {
    const load = chunks && glossChunks("index", 1);
    for (let number = 0; number < chunks; number++) {
      const more = JSON.parse(await glossUnpack(await load(number))).map((row, i) => asRow(row, rows.length + i));
      rows.push(...more);
      if (isFiltered() || wanted.sort !== "number" || wanted.down) update();
      else { // what is shown stays
        found = rows;
        for (const part of ["#features", "#random"]) $(part).hidden = false;
        $("#none").hidden = true;
        tell();
        fill();
      }
    }
  })();
})();
