// With ?slides in the address: one section a screen, and keys to move. The anchor is the place.
"use strict";

if (new URLSearchParams(location.search).has("slides")) {
  const slides = [...document.querySelectorAll("[data-slide]")];
  const counter = document.getElementById("counter");
  let current = 0;

  function show(number) {
    current = Math.min(Math.max(number, 0), slides.length - 1);
    slides.forEach((slide, place) => slide.classList.toggle("current", place === current));
    counter.textContent = current ? `${current} / ${slides.length - 1}` : "";
    document.getElementById("back").disabled = current === 0;
    document.getElementById("forward").disabled = current === slides.length - 1;
    scrollTo(0, 0);
  }

  function go(number) {
    show(number);
    history.replaceState(null, "", `#${slides[current].id}`);
  }

  function fromAnchor() {
    const place = slides.findIndex(slide => `#${slide.id}` === location.hash);
    show(Math.max(place, 0));
  }

  const keys = {
    ArrowLeft: () => go(current - 1),
    ArrowRight: () => go(current + 1),
    PageUp: () => go(current - 1),
    PageDown: () => go(current + 1),
    " ": () => go(current + 1),
    Home: () => go(0),
    End: () => go(slides.length - 1),
  };
  document.addEventListener("keydown", event => {
    const isTyped = event.ctrlKey || event.altKey || event.metaKey;
    const presses = event.key === " " && /^(BUTTON|SUMMARY|A)$/.test(event.target.tagName);
    if (event.key in keys && !isTyped && !presses) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  document.getElementById("back").addEventListener("click", () => go(current - 1));
  document.getElementById("forward").addEventListener("click", () => go(current + 1));
  addEventListener("hashchange", fromAnchor);
  document.documentElement.classList.add("slides");
  fromAnchor();
}
