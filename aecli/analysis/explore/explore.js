"use strict";

// The page: three views of its runs, each in a tab.

function tabs(onChange) {
  const buttons = [...document.querySelectorAll("[role=tab]")];
  const select = (chosen, isFocused) => {
    for (const button of buttons) {
      button.setAttribute("aria-selected", button === chosen);
      button.tabIndex = button === chosen ? 0 : -1;
      $(button.getAttribute("aria-controls")).hidden = button !== chosen;
    }
    if (isFocused) chosen.focus();
    onChange(chosen.dataset.view);
  };
  buttons.forEach((button, n) => {
    button.addEventListener("click", () => select(button));
    button.addEventListener("keydown", event => {
      const to = { ArrowLeft: n - 1, ArrowRight: n + 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      select(buttons[(to + buttons.length) % buttons.length], true);
    });
  });
  select(buttons.find(button => `#${button.dataset.view}` === location.hash) || buttons[0]);
}

async function start() {
  const block = await decompressed($("block").textContent);
  const errorColours = unpack(block, content.errors);
  const images = new Images(block), pca = new PCA(block);
  const runs = content.runs.map(run => new Run(run, block));
  const views = {
    codes: new CodesView(images, pca, errorColours),
    between: new BetweenView(images, errorColours),
    draw: new DrawView(runs, images, pca, errorColours),
  };
  let view = "codes", run = runs[0];
  const state = () => {
    const isAll = view === "draw" && runs.length > 1;
    if ($("choice")) $("choice").hidden = isAll;
    $("facts").textContent = isAll
      ? "The same drawing goes through all of them."
      : `${run.model}, ${asCount(run.latent)} per image. Test mse ${run.mse.toFixed(6)}, PCA of the same size ${run.pca_mse.toFixed(6)}.`;
    views[view].redraw();
  };
  const use = number => {
    run = runs[number];
    views.codes.setRun(run);
    views.between.setRun(run);
    state();
  };
  $("loading").hidden = true;
  $("app").hidden = false;
  $("run")?.addEventListener("change", event => use(Number(event.target.value)));
  if (content.images.labels.length) legend();
  use(0);
  tabs(chosen => {
    view = chosen;
    state();
  });
  views.draw.start(0);
  const again = scheduler(() => views[view].redraw());
  new ResizeObserver(again).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  document.body.dataset.ready = "true";
}

function legend() {
  $("legend").append(...content.images.classes.map((name, n) => {
    const dot = element("span", { class: "dot" });
    dot.style.background = content.images.colours[n];
    return element("li", {}, dot, name);
  }));
}

start().catch(error => {
  $("loading").textContent = `This page could not be computed: ${error.message}`;
});
