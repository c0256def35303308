"use strict";

const frames = JSON.parse(document.getElementById("frames").textContent).frames;
const panels = [...document.querySelectorAll("[data-panel]")].map(panel => [...panel.querySelectorAll("td")]);
const caption = document.getElementById("caption");
const position = document.getElementById("position");
const playing = document.getElementById("play");
const speed = document.getElementById("speed");
let current = 0;
let timer = null;

function show(number) {
  current = Math.min(Math.max(number, 0), frames.length - 1);
  frames[current].panels.forEach((state, index) => {
    const marked = new Set(state.marked);
    panels[index].forEach((cell, place) => {
      cell.textContent = state.text[place];
      cell.classList.toggle("marked", marked.has(place));
      cell.classList.toggle("empty", state.text[place] === "");
    });
  });
  document.querySelectorAll(".layer > div").forEach(column => {
    const cell = column.querySelector("td.marked");
    if (cell && column.scrollWidth > column.clientWidth) {
      column.scrollLeft = cell.offsetLeft - column.offsetLeft - column.clientWidth / 2;
    }
  });
  caption.textContent = frames[current].caption;
  position.value = current + 1;
  document.getElementById("count").textContent = `${current + 1} of ${frames.length}`;
}

function stop() {
  clearTimeout(timer);
  timer = null;
  playing.textContent = "Play";
}

function advance() {
  if (current === frames.length - 1) {
    stop();
    return;
  }
  show(current + 1);
  timer = setTimeout(advance, 1000 / Number(speed.value));
}

function toggle() {
  if (timer !== null) {
    stop();
    return;
  }
  if (current === frames.length - 1) show(0);
  playing.textContent = "Pause";
  timer = setTimeout(advance, 1000 / Number(speed.value));
}

function step(number) {
  stop();
  show(number);
}

playing.addEventListener("click", toggle);
document.getElementById("back").addEventListener("click", () => step(current - 1));
document.getElementById("step").addEventListener("click", () => step(current + 1));
position.addEventListener("input", () => step(Number(position.value) - 1));
document.addEventListener("keydown", event => {
  const keys = {
    ArrowLeft: () => step(current - 1),
    ArrowRight: () => step(current + 1),
    Home: () => step(0),
    End: () => step(frames.length - 1),
    " ": toggle,
  };
  const ours = event.target === document.body || event.key !== " ";
  const slides = event.target.tagName === "INPUT" || event.target.tagName === "SELECT";
  if (event.key in keys && ours && !slides && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    keys[event.key]();
  }
});
document.getElementById("controls").hidden = false;
show(0);
