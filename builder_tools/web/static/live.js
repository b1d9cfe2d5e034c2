// The live page: asks for its changing part every few seconds, and at once when something is chosen.
"use strict";

const form = document.getElementById("bt-asked");
const part = document.getElementById("bt-live");
const said = document.getElementById("bt-said");
const language = document.getElementById("bt-language");
const LONGEST_MS = 60_000;
let asking = null;

function asked() {
  const chosen = new URLSearchParams(new FormData(form));
  const picks = form.period.value === "days";
  document.getElementById("bt-since").hidden = document.getElementById("bt-until").hidden = !picks;
  if (!picks) { chosen.delete("since"); chosen.delete("until"); }
  return chosen;
}

async function refresh() {
  if (asking) asking.abort();
  const own = (asking = new AbortController());
  const late = setTimeout(() => own.abort(), LONGEST_MS);
  let answer = null, text = "";
  try {
    const options = { cache: "no-store", signal: own.signal };
    const coming = await fetch(`${location.pathname}/part?${asked()}`, options);
    text = await coming.text();
    answer = coming;
  } catch { /* told below: the server does not answer */ }
  clearTimeout(late);
  if (own !== asking) return;  // something else was chosen meanwhile
  asking = null;
  part.setAttribute("aria-busy", "false");
  part.classList.toggle("bt-stale", !answer?.ok);
  if (answer?.ok) {
    const tables = [...part.querySelectorAll(".bt-scroll")];
    const places = tables.map((one) => one.scrollLeft);
    const held = document.activeElement;  // by the keyboard, to scroll with the arrows
    part.innerHTML = text;
    part.querySelectorAll(".bt-scroll").forEach((one, at) => {
      one.scrollLeft = places[at] || 0;
      if (tables[at] && tables[at] === held) one.focus({ preventScroll: true });
    });
    said.replaceChildren();
  } else if (answer && answer.status === 503) {
    said.innerHTML = text;
  } else {
    said.textContent = form.dataset.failed;
  }
}

for (const [name, value] of new URLSearchParams(location.search)) {
  const field = form.elements.namedItem(name);
  if (field) field.value = value;
}
language.search = location.search;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  history.replaceState(null, "", `?${asked()}`);
  language.search = location.search;
  refresh();
});

// An answer may take longer than the time between two: none is asked for while one is under way.
const keepUp = () => { if (!document.hidden && !asking) refresh(); };
setInterval(keepUp, 1000 * form.dataset.refresh);
document.addEventListener("visibilitychange", keepUp);
refresh();
