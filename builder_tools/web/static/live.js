// The live page: asks for its changing part every few seconds, and at once when something is chosen.
"use strict";

const form = document.getElementById("bt-asked");
const part = document.getElementById("bt-live");
const said = document.getElementById("bt-said");
let asking = 0;

function asked() {
  const chosen = new URLSearchParams(new FormData(form));
  const picks = form.period.value === "days";
  document.getElementById("bt-since").hidden = document.getElementById("bt-until").hidden = !picks;
  if (!picks) { chosen.delete("since"); chosen.delete("until"); }
  return chosen;
}

async function refresh() {
  const number = ++asking;
  let answer = null, text = "";
  try {
    answer = await fetch(`${location.pathname}/part?${asked()}`, { cache: "no-store" });
    text = await answer.text();
  } catch { /* told below: the server does not answer */ }
  if (number !== asking) return;  // something else was chosen meanwhile
  part.setAttribute("aria-busy", "false");
  part.classList.toggle("bt-stale", !answer?.ok);
  if (answer?.ok) {
    const places = [...part.querySelectorAll(".bt-scroll")].map((one) => one.scrollLeft);
    part.innerHTML = text;
    part.querySelectorAll(".bt-scroll").forEach((one, at) => { one.scrollLeft = places[at] || 0; });
    said.replaceChildren();
  } else if (answer && answer.status === 503) {
    said.innerHTML = text;
  } else {
    said.textContent = form.dataset.failed;
  }
}

for (const [name, value] of new URLSearchParams(location.search))
  if (form.elements[name]) form.elements[name].value = value;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  history.replaceState(null, "", `?${asked()}`);
  refresh();
});
setInterval(() => { if (!document.hidden) refresh(); }, 1000 * form.dataset.refresh);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
