"use strict";
// What the page needs beside Gradio: play from a highlight, delete results, save the marked photo,
// show which card belongs to which face, and tell the camera which model was chosen.

document.addEventListener("click", async (event) => {
  const seek = event.target.closest(".bt-seek");
  if (seek) {
    const player = seek.closest(".bt-result").querySelector("video");
    player.currentTime = Number(seek.dataset.seek);
    player.play();
    player.scrollIntoView({ behavior: "smooth", block: "nearest" });
    return;
  }
  const save = event.target.closest(".bt-save");
  if (save) {
    save.href = save.closest(".bt-photo").querySelector("img").src;
    return;
  }
  const gone = event.target.closest(".bt-delete");
  if (!gone) return;
  const result = gone.closest(".bt-result");
  await fetch("/results/" + result.dataset.token, { method: "DELETE" });
  const said = document.createElement("p");
  said.className = "bt-note bt-info";
  said.setAttribute("role", "status");
  said.textContent = gone.dataset.said;
  result.replaceChildren(said);
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

window.builderToolsChoice = (model, detector) => {
  const frame = document.getElementById("bt-camera-frame");
  if (frame) frame.contentWindow.postMessage({ builderTools: { model, detector } }, location.origin);
  return [model, detector];
};
