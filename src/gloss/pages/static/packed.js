// Shows the feature that the address names, as in feature.html#17: its page lies in a chunk with others.
"use strict";
(() => {
  const { first, last } = window.glossPages; // features of each chunk, ascending
  const load = glossChunks("pages", 6);
  const $ = (selector) => document.querySelector(selector);
  const name = document.title;

  const chunkOf = (index) => {
    let [low, high] = [0, first.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (first[middle] <= index) low = middle; else high = middle - 1;
    }
    return low;
  };
  const lead = (link, index, label) => {
    if (index === undefined) link.removeAttribute("href"); else link.href = `#${index}`;
    link.textContent = label;
  };
  const tell = (message) => {
    const line = document.createElement("p");
    line.className = "sentence";
    line.textContent = message;
    $("#packed").replaceChildren(line);
  };
  const show = async () => {
    const asked = location.hash || `#${first[0]}`;
    const index = Number(asked.slice(1));
    const number = chunkOf(index);
    for (const link of document.querySelectorAll(".turn a[rel]")) link.removeAttribute("href"); // they lead on from the page before
    let pages = {};
    try { pages = await load(number); } catch (problem) { tell(`This page cannot be read: ${problem.message}.`); return; }
    const here = Object.hasOwn(pages, index) ? await glossUnpack(pages[index]) : null;
    if ((location.hash || asked) !== asked) return; // another was asked for meanwhile
    const indices = Object.keys(pages).map(Number);
    const before = indices.findLast((each) => each < index) ?? last[number - 1];
    const after = indices.find((each) => each > index) ?? first[number + 1];
    lead($("a[rel=prev]"), before, before === undefined ? "←" : `← ${before}`);
    lead($("a[rel=next]"), after, after === undefined ? "→" : `${after} →`);
    $("#index").textContent = asked.slice(1);
    document.title = `${name.split(" · ")[0]}/${asked.slice(1)} · gloss`;
    if (here === null) tell("There is no page of this feature: the run did not treat it.");
    else $("#packed").innerHTML = here;
    window.glossSet();
    scrollTo(0, 0);
  };
  $("a.random").addEventListener("click", async (event) => {
    event.preventDefault();
    const indices = Object.keys(await load(Math.floor(Math.random() * first.length)));
    location.hash = indices[Math.floor(Math.random() * indices.length)];
  });
  addEventListener("hashchange", show);
  show();
})();
