"use strict";
// The live camera: takes images from the browser's camera, sends the newest over a WebSocket
// and draws the faces that come back. At most IN_FLIGHT images are under way, so nothing queues.
const facts = JSON.parse(document.getElementById("facts").textContent);
const words = facts.words;
const IN_FLIGHT = 2;
const WIDTH = 640, HEIGHT = 480;
const QUALITY = 0.8;
const FIGURES_EVERY_MS = 500;
const REST_MS = 3000;
const ALONE_MS = 1000;

const SHOWN = ["stage", "figures", "reading", "rest"];
const byId = (id) => document.getElementById(id);
const video = byId("video"), overlay = byId("overlay"), stage = byId("stage");
const grabber = document.createElement("canvas");
const choice = {};
let starts = 0, socket = null, stream = null;
let isWanted = false, isPaused = false;
let next = 0, sent = new Map(), times = [], toldAt = 0, restAt = 0;
let seenAt = 0, isAlone = false;

function say(text, kind) {
  const said = byId("said");
  said.hidden = !text;
  said.className = "bt-note bt-" + (kind || "info");
  said.setAttribute("role", kind === "error" ? "alert" : "status");
  said.textContent = text;
}

async function start() {
  if (!navigator.mediaDevices) { say(words.insecure, "error"); return; }
  const own = ++starts;
  isWanted = true;
  say(words.starting, "busy");
  let opened = null;
  try {
    opened = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: WIDTH }, height: { ideal: HEIGHT }, facingMode: "user" },
      audio: false,
    });
    if (own === starts) {
      stream = opened;
      for (const track of stream.getTracks()) track.addEventListener("ended", () => ended(own));
      video.srcObject = stream;
      await video.play();
    }
  } catch (error) {
    if (own !== starts) return; // stop() has turned off what was open
    stop();
    say(words.denied.replace("{error}", error.name), "error");
    return;
  }
  if (own === starts) connect();
  else for (const track of opened.getTracks()) track.stop();
}

// A camera was unplugged, or its permission withdrawn.
function ended(own) {
  if (own !== starts) return;
  stop();
  say(words.ended, "error");
}

function connect() {
  const asked = new URLSearchParams();
  for (const key of ["model", "detector", "decision"]) if (choice[key]) asked.set(key, choice[key]);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/${facts.language}/camera?${asked}`);
  socket.binaryType = "arraybuffer";
  sent.clear();
  times = [];
  restAt = 0;
  const own = socket;
  socket.onopen = () => {
    say("");
    seenAt = performance.now();
    isAlone = false;
    byId("start").textContent = words.stop;
    for (const id of SHOWN) byId(id).hidden = false;
    pump(own);
  };
  socket.onmessage = (event) => { if (own === socket) receive(JSON.parse(event.data)); };
  socket.onclose = () => { if (own === socket && stream) { stop(); say(words.lost, "error"); } };
}

// Also calls off a start that still waits for permission.
function stop() {
  starts++;
  isWanted = isPaused = false;
  const own = socket;
  socket = null;
  if (own) own.close();
  if (stream) for (const track of stream.getTracks()) track.stop();
  stream = null;
  video.srcObject = null;
  for (const id of SHOWN) byId(id).hidden = true;
  byId("start").textContent = words.start;
  say(words.idle);
}

// Turns the camera off while another tab is shown, and on again unless its user had stopped it.
function pauseUnseen() {
  if (document.hidden && isWanted) {
    stop();
    isPaused = true;
    say(words.paused);
  } else if (!document.hidden && isPaused) {
    isPaused = false;
    start();
  }
}

// Takes everybody's next three seconds as their rest. The server counts from the next image on.
function lookNeutral() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  socket.send("look_neutral");
  say(words.rest_now, "busy");
  isAlone = false;
  restAt = performance.now() + REST_MS;
}

// Runs once an image of the camera; sends it if the server is not behind.
function pump(own) {
  if (own !== socket) return;
  if (sent.size < IN_FLIGHT && video.videoWidth && own.readyState === WebSocket.OPEN) grab(own);
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(() => pump(own));
  else requestAnimationFrame(() => pump(own));
}

function grab(own) {
  const scale = Math.min(1, WIDTH / Math.max(video.videoWidth, video.videoHeight));
  grabber.width = Math.round(video.videoWidth * scale);
  grabber.height = Math.round(video.videoHeight * scale);
  grabber.getContext("2d").drawImage(video, 0, 0, grabber.width, grabber.height);
  const id = next++;
  sent.set(id, performance.now());
  grabber.toBlob(async (blob) => {
    if (!blob || own !== socket) { sent.delete(id); return; }
    const message = new Uint8Array(4 + blob.size);
    new DataView(message.buffer).setUint32(0, id, true);
    message.set(new Uint8Array(await blob.arrayBuffer()), 4);
    if (own.readyState === WebSocket.OPEN) own.send(message);
  }, "image/jpeg", QUALITY);
}

function receive(answer) {
  if (answer.error === "no_rest") {
    restAt = 0;
    say(answer.message, "error");
    return;
  }
  if (answer.error) {
    sent.clear();
    stop();
    say(answer.message, "error");
    return;
  }
  const since = sent.get(answer.id);
  if (since === undefined) return; // a newer answer has overtaken it
  for (const id of [...sent.keys()]) if (id <= answer.id) sent.delete(id);
  // Label, bars and dial are of one and the same image.
  draw(answer);
  showBars(answer.faces[0]);
  showPlace(answer.faces[0]);
  const now = performance.now();
  tellIfAlone(answer.faces.length > 0, now);
  if (restAt && now > restAt && overlay.dataset.relative) { restAt = 0; say(words.rest_known); }
  times.push({ now, latency: now - since, server: answer.server_ms });
  times = times.filter((one, index) => now - one.now < 2000 || index >= times.length - 3);
  if (times.length > 1 && now - toldAt > FIGURES_EVERY_MS) { toldAt = now; tell(now); }
}

// Says so once nobody has been seen for a while, and stops saying it with the first face.
function tellIfAlone(isSeen, now) {
  if (isSeen) seenAt = now;
  const alone = !isSeen && now > restAt && now - seenAt > ALONE_MS;
  if (alone && !isAlone) say(words.nobody);
  if (isSeen && isAlone) say("");
  isAlone = alone || (isAlone && !isSeen);
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function tell(now) {
  const span = now - times[0].now;
  byId("fps").textContent = ((1000 * (times.length - 1)) / span).toFixed(1);
  byId("latency").textContent = median(times.map((one) => one.latency)).toFixed(0);
  byId("server").textContent = median(times.map((one) => one.server)).toFixed(0);
}

function showBars(face) {
  const body = byId("bars").tBodies[0];
  body.replaceChildren();
  byId("reading").style.visibility = face ? "visible" : "hidden";
  if (!face) return;
  for (const [name, value] of Object.entries(face.probabilities)) {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = named(name);
    row.append(head);
    const bar = document.createElement("span");
    bar.className = "bt-bar";
    bar.style.width = `${100 * value}%`;
    bar.style.background = colour(name);
    row.insertCell().append(bar);
    row.insertCell().textContent = `${Math.round(100 * value)}%`;
  }
}

// The circumplex: valence to the right, arousal up, the emotions' anchors as small dots.
function showPlace(face) {
  const place = byId("place"), known = face && face.valence !== null;
  place.style.visibility = known ? "visible" : "hidden";
  if (!known) return;
  place.setAttribute("cx", 100 * face.valence);
  place.setAttribute("cy", -100 * face.arousal);
  place.setAttribute("fill", colour(face.emotion));
  const said = facts.dial.replace("{valence}", face.valence.toFixed(2));
  byId("dial").setAttribute("aria-label", said.replace("{arousal}", face.arousal.toFixed(2)));
}

function markAnchors() {
  for (const [name, [valence, arousal]] of Object.entries(facts.anchors)) {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [key, value] of Object.entries({ cx: 100 * valence, cy: -100 * arousal, r: 5 }))
      dot.setAttribute(key, value);
    dot.setAttribute("fill", colour(name));
    byId("anchors").append(dot);
  }
}

// A model may write the names of emotions otherwise: "Angry" has the colour of anger.
const named = (emotion) => facts.emotions[emotion.toLowerCase()] || emotion;
const colour = (emotion) => (facts.model_colours[choice.model] || {})[emotion]
  || facts.colours[emotion.toLowerCase()] || "rgb(230,159,0)";

// Black or white, whichever is the easier to read on a colour (WCAG's relative luminance).
function ink(emotion) {
  const linear = colour(emotion).match(/\d+/g).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return light > 0.179 ? "#000" : "#fff";
}

function draw(answer) {
  overlay.width = answer.width;
  overlay.height = answer.height;
  const pen = overlay.getContext("2d");
  const mirrored = byId("mirror").checked;
  stage.classList.toggle("bt-mirrored", mirrored);
  pen.lineWidth = Math.max(2, answer.width / 200);
  pen.font = `bold ${Math.max(14, Math.round(answer.width / 32))}px system-ui, sans-serif`;
  for (const face of [...answer.faces].reverse()) drawFace(pen, face, answer.width, mirrored);
  overlay.dataset.faces = answer.faces.map((face) => face.emotion).join(" ");
  overlay.dataset.shown = answer.faces.map((face) => shownOf(face)).join(", ");
  overlay.dataset.relative = answer.faces.map((face) => face.relative_emotion || "").join(" ").trim();
}

const shownOf = (face) => `${named(face.emotion)} ${Math.round(100 * face.probability)}%`;

function drawFace(pen, face, width, mirrored) {
  const [x1, y1, x2, y2] = face.box;
  const left = mirrored ? width - x2 : x1;
  const size = parseInt(pen.font.match(/\d+/)[0], 10);
  pen.strokeStyle = "#000";
  pen.lineWidth += 2;
  pen.strokeRect(left, y1, x2 - x1, y2 - y1);
  pen.lineWidth -= 2;
  pen.strokeStyle = colour(face.emotion);
  pen.strokeRect(left, y1, x2 - x1, y2 - y1);
  const tag = (emotion, text, place) => {
    const across = pen.measureText(text).width + size * 0.6, high = size * 1.35;
    const from = Math.min(Math.max(left, 0), Math.max(width - across, 0));
    const top = place(high);
    pen.fillStyle = colour(emotion);
    pen.fillRect(from, top, across, high);
    pen.fillStyle = ink(emotion);
    pen.fillText(text, from + size * 0.3, top + size);
  };
  tag(face.emotion, shownOf(face), (high) => (y1 - high >= 0 ? y1 - high : y1));
  if (!face.relative_emotion) return;
  const share = Math.round(100 * face.relative_probability);
  const relative = `${words.from_rest}: ${named(face.relative_emotion)} ${share}%`;
  tag(face.relative_emotion, relative, (high) => Math.min(y2, overlay.height - high));
}

markAnchors();
byId("start").addEventListener("click", () => (stream ? stop() : start()));
byId("rest").addEventListener("click", lookNeutral);
document.addEventListener("builder-tools-choice", (event) => {
  Object.assign(choice, event.detail);
  if (socket) {
    const old = socket;
    socket = null;
    old.close();
    connect();
  }
});
document.addEventListener("visibilitychange", pauseUnseen);
window.addEventListener("pagehide", stop);
