// A feature's page works without this; it adds keys, quick tooltips, true chance, and remembers how contexts are set.
"use strict";
(() => {
  const root = document.querySelector(".mark").href.replace(/index\.html.*$/, "");
  const go = (selector) => document.querySelector(selector)?.click();
  const remembered = {
    get: () => { try { return localStorage.getItem("gloss.set"); } catch { return null; } },
    set: (id) => { try { localStorage.setItem("gloss.set", id); } catch { /* storage is off: nothing to remember */ } },
  };

  // again where another page is shown in the place of this one
  window.glossSet = () => {
    const radio = document.getElementById(remembered.get() ?? "");
    if (radio?.matches(".switch input")) radio.checked = true;
  };
  window.glossSet();
  document.addEventListener("change", (event) => {
    if (event.target.matches(".switch input")) remembered.set(event.target.id);
  });

  try { document.querySelector(".mark").hash = sessionStorage.getItem("gloss.index") ?? ""; } catch { /* storage is off */ }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.target.closest("input:not([type=radio]), select, textarea")) return;
    const inSwitch = event.target.closest(".switch");
    if (event.key === "j" || (event.key === "ArrowRight" && !inSwitch)) go("a[rel=next]");
    else if (event.key === "k" || (event.key === "ArrowLeft" && !inSwitch)) go("a[rel=prev]");
    else if (event.key === "r") go("a.random");
    else if (event.key === "f") go(".switch input:not(:checked)");
    else if (event.key === "/") location.href = root + "index.html#search";
    else return;
    event.preventDefault();
  });

  // The link already leads somewhere else; with the list of all features at hand, any of them may come.
  const random = document.querySelector("a.random:not([href='#'])");
  random?.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const list = document.createElement("script");
    list.src = root + "features.js";
    list.onload = () => {
      const rows = window.glossFeatures.rows.filter((row) => !location.href.endsWith(row[0]));
      location.href = rows.length ? root + rows[Math.floor(Math.random() * rows.length)][0] : random.href;
    };
    list.onerror = () => { location.href = random.href; };
    document.head.append(list);
  });

  // One tooltip for all tokens, at once instead of after the browser's pause.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("mouseover", (event) => {
    const token = event.target.closest(".context b, .context i");
    tip.hidden = !token;
    if (!token) return;
    if (token.hasAttribute("title")) {
      token.dataset.tooltip = token.title;
      token.removeAttribute("title");
    }
    tip.textContent = token.dataset.tooltip || token.textContent.replaceAll(" ", "␣") + "  inactive";
    const box = token.getBoundingClientRect();
    const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 6), innerWidth - tip.offsetWidth - 6);
    tip.style.left = left + scrollX + "px";
    tip.style.top = box.top + scrollY - tip.offsetHeight - 6 + "px";
  });
})();
