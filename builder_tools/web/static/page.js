// The page beside its camera: tabs, uploads and their answers, the timeline, the choice of a model.
const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = (id) => document.getElementById(id);
const said = (key, values = {}) =>
  facts.page[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

function note(text, kind = "info") {
  const made = document.createElement("p");
  made.className = `bt-note bt-${kind}`;
  made.setAttribute("role", kind === "error" ? "alert" : "status");
  made.textContent = text;
  return made;
}

// Tabs: arrows, Home and End move between them, as in the ARIA practices; the address names one.

const tabs = [...document.querySelectorAll("[role=tab]")];

function showTab(tab) {
  for (const one of tabs) {
    const here = one === tab;
    one.setAttribute("aria-selected", here);
    one.tabIndex = here ? 0 : -1;
    byId(one.getAttribute("aria-controls")).hidden = !here;
  }
  history.replaceState(null, "", `#${tab.dataset.tab}`);
  byId("bt-language").hash = tab.dataset.tab;
}

for (const tab of tabs) {
  tab.addEventListener("click", () => showTab(tab));
  tab.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(tab), last = tabs.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last };
    if (!(event.key in to)) return;
    event.preventDefault();
    showTab(tabs[to[event.key]]);
    tabs[to[event.key]].focus();
  });
}
const askedTab = () => tabs.find((tab) => `#${tab.dataset.tab}` === location.hash);
function showAsked() {
  const asked = askedTab() || (location.hash ? null : tabs[0]); // on the way back, none is named
  if (asked) showTab(asked);
}
addEventListener("hashchange", showAsked);
if (askedTab()) showAsked();

// Model, detector and decision: sent with every upload, told to the camera.

const choices = [...document.querySelectorAll("[data-choice]")];
const choice = () => Object.fromEntries(choices.map((one) => [one.dataset.choice, one.value]));

function tellChoice() {
  byId("bt-chosen").textContent = choices.map((one) => one.selectedOptions[0].text).join(", ");
  document.dispatchEvent(new CustomEvent("builder-tools-choice", { detail: choice() }));
}
for (const one of choices) one.addEventListener("change", tellChoice);
addEventListener("pageshow", tellChoice); // on the way back browsers restore a choice, after scripts
tellChoice();

// Uploads. An answer is HTML at once, or line by line, each taking the place of the one before.

const MEGABYTE = 1e6;

function whyNot(kind, files) {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const most = kind === "photo" ? facts.photo_bytes : facts.upload_bytes;
  if (kind === "batch" && files.length > facts.images)
    return said("refused.too_many_files", { count: files.length, limit: facts.images });
  if (!size) return said("refused.empty");
  if (size <= most) return "";
  return said("refused.too_big", { limit_mb: most / MEGABYTE });
}

// Several files are one body: a line with their names and sizes, and then their bytes.
function bodyOf(kind, files) {
  if (kind !== "batch") return files[0];
  const list = files.map((file) => ({ name: file.name, size: file.size }));
  return new Blob([JSON.stringify(list), "\n", ...files]);
}

async function refusalOf(response) {
  const known = { full: "refused.full", too_slow: "script.slow", too_big: "refused.too_big" };
  const told = await response.json().catch(() => ({}));
  if (told.error in known) return said(known[told.error], { limit_mb: facts.upload_bytes / MEGABYTE });
  return told.message || said("refused.internal");
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split("\n");
    held = whole.pop();
    for (const line of whole) yield JSON.parse(line).html;
  }
}

// A folder counts as a file that cannot be read; so does a file that was changed since.
async function unreadable(files) {
  for (const file of files) {
    const isRead = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    if (!isRead) return said("script.unreadable", { name: file.name });
  }
  return "";
}

// Shows an answer as long as nothing newer is asked for in its place.
async function answer(kind, files, result, signal, isCurrent) {
  const why = whyNot(kind, files);
  if (why) { result.replaceChildren(note(why, "error")); return; }
  result.replaceChildren(note(said("script.uploading"), "busy"));
  if (result.getBoundingClientRect().top > 0.6 * innerHeight)
    result.scrollIntoView({ behavior: "smooth", block: "start" });
  const query = new URLSearchParams({ ...choice(), name: files[0].name });
  const blur = document.querySelector(`#bt-${kind}-blur input`);
  if (blur && blur.checked) query.set("blur", "true");
  const headers = { "Accept-Language": facts.language };
  const body = bodyOf(kind, files);
  let response = null;
  try {
    response = await fetch(`${kind}?${query}`, { method: "POST", body, headers, signal });
    if (!response.ok) throw Object.assign(new Error(), { told: await refusalOf(response) });
    const parts = kind === "photo" ? [await response.text()] : lines(response);
    for await (const html of parts) if (isCurrent()) result.innerHTML = html;
  } catch (error) {
    const why = error.told || (!response && await unreadable(files)) || said("script.lost");
    if (!isCurrent()) return;
    result.replaceChildren(signal.aborted ? note(said("video.stopped")) : note(why, "error"));
  }
}

// Tells of a failure below what stays shown, in place of an earlier one.
function complain(place, text) {
  if (place.nextElementSibling?.matches(".bt-failed")) place.nextElementSibling.remove();
  const told = note(text, "error");
  told.classList.add("bt-failed");
  place.after(told);
}

async function exampleFile(name) {
  const response = await fetch(`/examples/${name}`);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return new File([await response.blob()], name);
}

// A drop field, its examples and, for what takes long, its two buttons.
function wire(kind) {
  const field = byId(`bt-${kind}`), input = field.querySelector("input");
  const result = byId(`bt-${kind}-result`), isLong = kind !== "photo";
  const start = byId(`bt-${kind}-start`), stop = byId(`bt-${kind}-stop`);
  let files = [], running = null, chosen = 0;

  const run = async () => {
    if (running) running.abort();
    const own = (running = new AbortController());
    if (isLong) stop.hidden = false;
    await answer(kind, files, result, own.signal, () => own === running);
    if (own === running) {
      running = null;
      if (isLong) stop.hidden = true;
    }
  };
  const choose = (list) => {
    chosen++;
    for (const old of field.parentElement.querySelectorAll(":scope > .bt-failed")) old.remove();
    files = kind === "batch" ? [...list] : [...list].slice(0, 1);
    if (files.length < list.length)
      complain(field, said("script.only_one", { count: list.length, name: files[0].name }));
    field.querySelector(".bt-chosen").textContent = files.slice(0, 8).map((file) => file.name).join(", ")
      + (files.length > 8 ? ` ... (${files.length})` : "");
    if (!isLong && files.length) run();
  };
  input.addEventListener("change", () => { choose(input.files); input.value = ""; });
  for (const type of ["dragover", "dragleave", "drop"])
    field.addEventListener(type, (event) => {
      event.preventDefault();
      field.classList.toggle("bt-over", type === "dragover");
      if (type === "drop" && event.dataTransfer.files.length) choose(event.dataTransfer.files);
    });
  if (isLong) {
    start.addEventListener("click", () => {
      if (files.length) run();
      else result.replaceChildren(note(said(`${kind}.none`), "error"));
    });
    stop.addEventListener("click", () => running && running.abort());
  }
  for (const one of document.querySelectorAll(`.bt-example[data-kind=${kind}]`))
    one.addEventListener("click", async () => {
      const own = ++chosen, names = one.dataset.files.split(" ");
      const found = await Promise.all(names.map(exampleFile)).catch(() => null);
      if (own !== chosen) return; // another file was chosen meanwhile
      if (!found) { complain(one.parentElement, said("script.no_example")); return; }
      choose(found);
      if (isLong) run();
    });
}
for (const kind of ["photo", "video", "batch"]) wire(kind);

// The timeline of a video: a moment is pointed at, walked to by keys, or played.

function tellMoment(curves, time) {
  const values = JSON.parse(curves.dataset.values);
  const at = values.times.reduce((best, one, index) =>
    Math.abs(one - time) < Math.abs(values.times[best] - time) ? index : best, 0);
  const x = values.left + (values.right - values.left) * Math.min(time / values.duration, 1);
  for (const cursor of curves.querySelectorAll(".bt-cursor")) {
    cursor.removeAttribute("hidden");
    cursor.setAttribute("transform", `translate(${x - values.left} 0)`);
  }
  const shown = Object.entries(values.emotions).filter(([, row]) => row[at] !== null)
    .sort(([, one], [, other]) => other[at] - one[at]).slice(0, 3)
    .map(([name, row]) => `${facts.emotions[name.toLowerCase()] || name} ${row[at]}%`);
  if (!shown.length) shown.push(said("script.nobody"));
  else if (values.valence[at] !== null)
    shown.push(said("script.affect", { valence: values.valence[at].toFixed(2), arousal: values.arousal[at].toFixed(2) }));
  const text = said("script.moment", { time: time.toFixed(1), shown: shown.join(", ") });
  curves.setAttribute("aria-valuenow", time.toFixed(1));
  curves.setAttribute("aria-valuetext", text);
  curves.closest(".bt-timeline").querySelector(".bt-readout").textContent = text;
}

function timeAt(event, curves) {
  const chart = event.target.closest(".bt-chart");
  if (!chart) return null;
  const values = JSON.parse(curves.dataset.values), frame = chart.getBoundingClientRect();
  const x = ((event.clientX - frame.left) / frame.width) * values.across;
  const share = (x - values.left) / (values.right - values.left);
  return Math.min(Math.max(share, 0), 1) * values.duration;
}

function play(from, time) {
  const player = from.closest(".bt-result").querySelector("video");
  player.currentTime = time;
  player.play().catch((error) => { if (error.name !== "AbortError") throw error; }); // paused again
  player.scrollIntoView({ behavior: "smooth", block: "nearest" });
}

document.addEventListener("pointermove", (event) => {
  const curves = event.target.closest(".bt-curves"), time = curves && timeAt(event, curves);
  if (curves && time !== null) tellMoment(curves, time);
});

document.addEventListener("keydown", (event) => {
  const curves = event.target.closest(".bt-curves");
  if (!curves) return;
  const { duration } = JSON.parse(curves.dataset.values), now = Number(curves.getAttribute("aria-valuenow"));
  const step = Math.max(duration / 100, 0.1);
  const to = { ArrowRight: now + step, ArrowLeft: now - step, Home: 0, End: duration }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    tellMoment(curves, Math.min(Math.max(to, 0), duration));
  } else if (event.key === "Enter") play(curves, now);
});

document.addEventListener("timeupdate", (event) => {
  const result = event.target.closest && event.target.closest(".bt-result");
  const curves = result && result.querySelector(".bt-curves:not([hidden])");
  if (curves) tellMoment(curves, event.target.currentTime);
}, true);

document.addEventListener("change", (event) => {
  if (!event.target.matches(".bt-who")) return;
  for (const one of event.target.closest(".bt-timeline").querySelectorAll(".bt-curves"))
    one.hidden = one.dataset.who !== event.target.value;
});

// Playing from a highlight, deleting results, which card belongs to which face.

document.addEventListener("click", async (event) => {
  const curves = event.target.closest(".bt-curves"), time = curves && timeAt(event, curves);
  if (curves && time !== null) play(curves, time);
  const seek = event.target.closest(".bt-seek");
  if (seek) play(seek, Number(seek.dataset.seek));
  const gone = event.target.closest(".bt-delete");
  if (!gone) return;
  const result = gone.closest(".bt-result");
  let deleted = null;
  try {
    deleted = await fetch(`/results/${result.dataset.token}`, { method: "DELETE" });
  } catch { /* told below: the server does not answer */ }
  if (deleted?.ok || deleted?.status === 404) result.replaceChildren(note(gone.dataset.said));
  else complain(gone.closest(".bt-kept"), said("script.not_deleted"));
});

for (const kind of ["mouseover", "focusin"]) {
  document.addEventListener(kind, (event) => {
    const one = event.target.closest("[data-face]");
    for (const old of document.querySelectorAll(".bt-hot")) old.classList.remove("bt-hot");
    if (!one) return;
    const same = `[data-face="${one.dataset.face}"]`;
    for (const part of one.closest(".bt-photo").querySelectorAll(same)) part.classList.add("bt-hot");
  });
}
