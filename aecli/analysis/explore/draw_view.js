"use strict";

// One drawing through every run of the page.
class DrawView {
  constructor(runs, images, pca, errorColours) {
    Object.assign(this, { runs, images, pca });
    this.drawing = new Float64Array(pixelCount);
    this.seen = new Float64Array(pixelCount);
    this.input = new Float64Array(pixelCount);
    this.buffer = new Float64Array(pixelCount);
    this.sheet = new Bitmap(shape, errorColours, $("sheet"));
    this.isNew = true;
    this.corrupted = runs.find(run => run.corruption);  // what the controls of the page are for
    this.rows = runs.map(run => this.makeRow(run, errorColours));
    this.update = scheduler(() => this.show());
    this.drawNoise();
    this.listen();
  }

  makeRow(run, errorColours) {
    const heading = element("h3", {}, run.name, element("span", { class: "soft" }, ` ${asCount(run.latent)}`));
    const pictures = element("div", { class: "pictures" }), bars = element("div", { class: "code" });
    const unusual = element("p", { class: "unusual" });
    $("results").append(element("section", { class: "result", "aria-label": run.name }, heading, pictures, bars, unusual));
    const picture = name => new Picture(pictures, name, shape, errorColours);
    return {
      run, unusual,
      input: this.corrupted ? picture("what it sees") : null,
      output: picture(run.corruption?.restores ? "restored" : "reconstruction"),
      pca: picture("PCA"),
      error: picture("error"),
      bars: new Bars(bars, run.latent, run.usual_codes),
    };
  }

  drawNoise() {
    this.noise = Float64Array.from({ length: pixelCount }, () => {
      return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    });
    this.chance = Float64Array.from({ length: pixelCount }, Math.random);
  }

  // The drawing moved so that its centre of mass is in the middle, as in MNIST.
  centre() {
    const [channels, height, width] = shape, { drawing, seen } = this;
    let mass = 0, down = 0, across = 0;
    for (let n = 0; n < pixelCount; n++) {
      const place = n % (height * width);
      mass += drawing[n];
      down += drawing[n] * Math.floor(place / width);
      across += drawing[n] * (place % width);
    }
    if (!$("centre").checked || !mass) return seen.set(drawing);
    const rows = Math.round((height - 1) / 2 - down / mass), columns = Math.round((width - 1) / 2 - across / mass);
    seen.fill(0);
    for (let c = 0; c < channels; c++) {
      for (let y = Math.max(0, rows); y < Math.min(height, height + rows); y++) {
        for (let x = Math.max(0, columns); x < Math.min(width, width + columns); x++) {
          seen[(c * height + y) * width + x] = drawing[(c * height + y - rows) * width + x - columns];
        }
      }
    }
  }

  corrupt() {
    const { seen, input, noise, chance } = this, strength = Number($("noise")?.value);
    input.set(seen);
    if (!this.corrupted) return false;
    const { kind } = this.corrupted.corruption, choice = $("low") || $("binary");
    if (choice) {
      if (!choice.checked) return false;
      if (kind === "binarize") for (let n = 0; n < pixelCount; n++) input[n] = chance[n] < seen[n] ? 1 : 0;
      else this.corrupted.resize(seen).forEach((value, n) => (input[n] = Math.min(Math.max(value, 0), 1)));
      return true;
    }
    for (let n = 0; n < pixelCount; n++) {
      if (kind === "gaussian") input[n] = Math.min(Math.max(seen[n] + strength * noise[n], 0), 1);
      else if (kind === "masking") input[n] = chance[n] < strength ? 0 : seen[n];
      else input[n] = chance[n] < strength / 2 ? 0 : chance[n] >= 1 - strength / 2 ? 1 : seen[n];
    }
    return strength > 0;
  }

  show() {
    this.sheet.paint(this.drawing);
    this.markPen();
    this.centre();
    const isCorrupted = this.corrupt(), said = [];
    if ($("noise")) $("noise-value").textContent = Number($("noise").value).toFixed(2);
    for (const row of this.rows) {
      const { run } = row;
      row.bars.show(run.net.encode(this.input));
      const output = run.net.reconstruct(this.input), error = mse(output, this.seen);
      row.output.show(output, asMse(error));
      row.error.showError(output, this.seen);
      row.input?.show(this.input, asMse(mse(this.input, this.seen)));
      const pca = this.pca.reconstruct(this.input, run.latent, this.buffer);
      row.pca.show(pca, asMse(mse(pca, this.seen)));
      row.unusual.textContent = run.usual && !isCorrupted && !this.isNew ? this.unusual(run, error) : "";
      said.push(`${run.name}: ${asMse(error)}`);
    }
    announce(said.join("; "));
  }

  unusual(run, error) {
    const rank = run.rank(error);
    const than = rank === 100 ? "that of every validation image" : `those of ${rank} % of the validation images`;
    return `The error is larger than ${than}${rank >= 95 ? ": unusual for this network." : "."}`;
  }

  // A stroke from one point to another, in pixels.
  stroke([x0, y0], [x1, y1]) {
    const [channels, height, width] = shape, radius = Number($("pen").value) * Math.min(height, width) / 2;
    const erases = $("eraser").checked, dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const px = x + 0.5 - x0, py = y + 0.5 - y0;
        const share = length ? Math.min(Math.max((px * dx + py * dy) / length, 0), 1) : 0;
        const distance = Math.hypot(px - share * dx, py - share * dy);
        const level = Math.min(Math.max(radius + 0.5 - distance, 0), 1);
        for (let c = 0; c < channels; c++) {
          const n = (c * height + y) * width + x;
          this.drawing[n] = erases ? Math.min(this.drawing[n], 1 - level) : Math.max(this.drawing[n], level);
        }
      }
    }
    this.isNew = false;
    this.update();
  }

  markPen() {
    const { context } = this.sheet, at = this.cursor;
    if (!at || document.activeElement !== $("sheet")) return;
    context.fillStyle = this.isDown ? ink("pen-down") : ink("pen-up");
    context.fillRect(Math.floor(at[0]), Math.floor(at[1]), 1, 1);
  }

  clear() {
    this.drawing.fill(0);
    $("centre").checked = this.isNew = true;
    this.update();
  }

  start(number) {
    this.drawing.set(this.images.pixels(number));
    this.isNew = false;
    $("centre").checked = false;
    this.update();
  }

  listen() {
    const sheet = $("sheet"), [, height, width] = shape;
    const place = event => {
      const box = sheet.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
    };
    let last = null;
    sheet.addEventListener("pointerdown", event => {
      if (event.button) return;
      sheet.setPointerCapture(event.pointerId);
      this.cursor = null;
      last = place(event);
      this.stroke(last, last);
    });
    sheet.addEventListener("pointermove", event => {
      if (!last) return;
      const between = event.getCoalescedEvents?.() ?? [];
      for (const each of between.length ? between : [event]) {
        const to = place(each);
        this.stroke(last, to);
        last = to;
      }
    });
    for (const name of ["pointerup", "pointercancel"]) sheet.addEventListener(name, () => (last = null));
    sheet.addEventListener("keydown", event => this.key(event));
    sheet.addEventListener("focus", this.update);
    sheet.addEventListener("blur", this.update);
    $("clear").addEventListener("click", () => this.clear());
    $("from-image").addEventListener("click", () => this.start(Math.floor(Math.random() * this.images.count)));
    $("new-noise")?.addEventListener("click", () => {
      this.drawNoise();
      this.update();
    });
    for (const name of ["centre", "noise", "low", "binary"]) $(name)?.addEventListener("input", this.update);
  }

  // Arrow keys move the pen, and the space bar sets it down or lifts it.
  key(event) {
    const [, height, width] = shape;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key], from = this.cursor || [width / 2, height / 2];
    if ((!step && event.key !== " ") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (!step) this.isDown = !this.isDown;
    const to = step ? [0, 1].map(n => Math.min(Math.max(from[n] + step[n], 0.5), [width, height][n] - 0.5)) : from;
    this.cursor = to;
    if (this.isDown) this.stroke(from, to);
    this.update();
  }

  redraw() {
    this.update();
  }
}
