"use strict";

// Three views of the runs in the page: their codes, the way from one image to another, and what
// becomes of a drawing.

const content = JSON.parse(document.getElementById("content").textContent);
const { shape } = content.images;
const pixelCount = size(shape);
const $ = name => document.getElementById(name);

async function decompressed(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function mse(one, other) {
  let sum = 0;
  for (let n = 0; n < one.length; n++) sum += (one[n] - other[n]) ** 2;
  return sum / one.length;
}

const asMse = value => `mse ${value < 1e-5 ? (value ? value.toExponential(0) : 0) : value.toFixed(value < 0.001 ? 5 : 4)}`;
const asCount = count => `${count} ${count === 1 ? "number" : "numbers"}`;

// The images that can be picked.
class Images {
  constructor(block) {
    this.bytes = unpack(block, content.images.pixels);
    this.count = this.bytes.length / pixelCount;
  }

  pixels(number) {
    return Float64Array.from(this.bytes.subarray(number * pixelCount, (number + 1) * pixelCount), level => level / 255);
  }

  className(number) {
    const { classes, labels } = content.images;
    return labels.length ? classes[labels[number]] : "";
  }

  name(number) {
    const label = this.className(number);
    return `${content.images.kind} ${content.images.names[number]}${label ? `, class\u00a0${label}` : ""}`;
  }

  colour(number) {
    const { colours, labels } = content.images;
    return labels.length ? colours[labels[number]] : "";
  }
}

class PCA {
  constructor(block) {
    this.mean = unpack(block, content.pca.mean);
    this.components = unpack(block, content.pca.components);
    this.codes = new Float64Array(content.pca.count);
  }

  encode(image, latent) {
    const count = Math.min(latent, content.pca.count);
    for (let k = 0; k < count; k++) {
      let sum = 0;
      for (let n = 0; n < pixelCount; n++) sum += this.components[k * pixelCount + n] * (image[n] - this.mean[n]);
      this.codes[k] = sum;
    }
    return this.codes.subarray(0, count);
  }

  decode(codes, out) {
    out.set(this.mean);
    for (let k = 0; k < codes.length; k++) {
      for (let n = 0; n < pixelCount; n++) out[n] += codes[k] * this.components[k * pixelCount + n];
    }
    for (let n = 0; n < pixelCount; n++) out[n] = Math.min(Math.max(out[n], 0), 1);
    return out;
  }

  // A code as large as the image keeps everything.
  reconstruct(image, latent, out) {
    if (latent >= pixelCount) out.set(image);
    else this.decode(this.encode(image, latent), out);
    return out;
  }
}

// A run with its network, which is made when it is first needed.
class Run {
  constructor(description, block) {
    Object.assign(this, description);
    this.block = block;
    for (const name of ["mean", "vectors", "points", "unit_deviations"]) this[name] = unpack(block, description[name]);
    this.usual_codes = {
      low: this.mean.map((value, n) => value - 2 * this.unit_deviations[n]),
      high: this.mean.map((value, n) => value + 2 * this.unit_deviations[n]),
    };
    const { corruption } = description;
    if (corruption && corruption.kind === "downsample") this.resize = MAKERS.resize(corruption, block);
  }

  get net() {
    this.made ||= makeNetwork(this.network, this.block);
    return this.made;
  }

  // Where a code lies along a direction, in standard deviations.
  along(code, direction) {
    let sum = 0;
    for (let n = 0; n < this.latent; n++) sum += (code[n] - this.mean[n]) * this.vectors[direction * this.latent + n];
    return sum / (this.deviations[direction] || 1);
  }

  move(code, direction, by) {
    const distance = by * this.deviations[direction];
    for (let n = 0; n < this.latent; n++) code[n] += distance * this.vectors[direction * this.latent + n];
  }

  // The share of validation images whose error is smaller.
  rank(error) {
    const above = this.usual.findIndex(each => each >= error);
    return above < 0 ? 100 : above;
  }
}

// At most once for each frame of the screen.
function scheduler(update) {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      update();
    });
  };
}

let announcing = null;

// For screen readers: only what is there when something has come to rest.
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => ($("status").textContent = text), 700);
}

class CodesView {
  constructor(images, pca, errorColours) {
    Object.assign(this, { images, pca, buffer: new Float64Array(pixelCount) });
    const parent = $("codes-pictures");
    const picture = (name, kind) => new Picture(parent, name, shape, errorColours, kind);
    this.decoded = picture("decoded", "large");
    this.original = picture("image");
    this.ofPCA = picture("PCA");
    this.error = picture("error");
    this.errorOfPCA = picture("PCA's error");
    this.map = new PointMap($("map"), ["", ""]);
    this.update = scheduler(() => this.show());
    this.listen();
  }

  get isPlane() {
    return this.run.latent === 2;
  }

  setRun(run) {
    this.run = run;
    this.map.backdrop = null;
    $("background").checked = false;
    $("background-choice").hidden = !this.isPlane;
    $("plane-help").hidden = !this.isPlane;
    $("map-help").hidden = this.isPlane;
    $("directions").hidden = this.isPlane;
    $("caveats").textContent = run.caveats.join(" ");
    const percent = share => `${(100 * share).toFixed(1)} % of the variance`;
    this.map.axes = this.isPlane
      ? ["number 1 of the code", "number 2 of the code"]
      : run.shares.slice(0, 2).map((share, n) => `direction ${n + 1}, ${percent(share)}`);
    if (run.latent === 1) this.map.axes = ["the code, around its mean", ""];
    this.map.setPoints(pairs(run), Array.from({ length: this.images.count }, (_, n) => this.images.colour(n)));
    this.makeSliders();
    this.pick(this.picked ?? 0);
  }

  makeSliders() {
    this.sliders = this.run.shares.map((share, n) => {
      const slider = element("input", { type: "range", min: -4, max: 4, step: 0.05, id: `direction-${n}` });
      const value = element("output", { for: slider.id, "aria-live": "off" });
      slider.addEventListener("input", () => {
        this.run.move(this.code, n, Number(slider.value) - this.run.along(this.code, n));
        this.moved = true;
        this.update();
      });
      return { slider, value, share };
    });
    $("sliders").replaceChildren(...this.sliders.map(({ slider, value, share }, n) => element("div", { class: "slider" },
      element("label", { for: slider.id }, `${n + 1}`, element("span", { class: "share" }, `${(100 * share).toFixed(1)} %`)),
      slider, value)));
  }

  pick(number) {
    this.picked = number;
    this.moved = false;
    this.image = this.images.pixels(number);
    this.code = Float64Array.from(this.run.net.encode(this.image));
    this.update();
  }

  // To a point of the map: a code, or the nearest image.
  go(u, v) {
    const nearest = this.map.nearest(u, v);
    if (!this.isPlane) {
      if (nearest !== this.picked || this.moved) this.pick(nearest);
      return;
    }
    this.code = Float64Array.of(u, v);
    this.picked = nearest;
    this.moved = true;
    this.image = this.images.pixels(nearest);
    this.update();
  }

  show() {
    const { run, code, images, isPlane } = this, name = images.name(this.picked);
    const output = this.moved ? run.net.decode(code) : run.net.reconstruct(this.image);
    const error = asMse(mse(output, this.image));
    this.decoded.show(output, isPlane ? `from (${asCode(code)})` : "", this.moved ? "decoded" : "reconstruction");
    this.original.show(this.image, "", isPlane ? `nearest: ${name}` : name);
    this.error.showError(output, this.image, error);
    const pca = isPlane ? this.pca.decode(this.toPCA(), this.buffer) : this.pca.reconstruct(this.image, run.latent, this.buffer);
    this.ofPCA.show(pca, "", isPlane ? "PCA, same position" : `PCA, ${asCount(run.latent)}`);
    this.errorOfPCA.showError(pca, this.image, asMse(mse(pca, this.image)));
    if (isPlane) this.map.mark(code[0], code[1]);
    else this.showDirections();
    announce(`${isPlane ? `Decoded from ${asCode(code)}; nearest: ` : ""}${name}; ${error}`);
  }

  // Where PCA's plane, laid over that of the codes, has the same position.
  toPCA() {
    return this.run.to_pca.map(([a, b, c]) => a * this.code[0] + b * this.code[1] + c);
  }

  showDirections() {
    const { run, code } = this;
    this.map.mark(...[0, 1].map(n => (n < run.shares.length ? run.along(code, n) * run.deviations[n] : 0)));
    this.sliders.forEach(({ slider, value }, n) => {
      const along = run.along(code, n);
      if (document.activeElement !== slider || Math.abs(slider.value - along) > 0.06) slider.value = along;
      const digits = Math.abs(along).toFixed(1);
      value.textContent = `${digits === "0.0" ? "" : along < 0 ? "−" : "+"}${digits} σ`;
    });
  }

  listen() {
    const canvas = $("map");
    const follow = event => {
      const box = canvas.getBoundingClientRect();
      this.go(...this.map.fromScreen(event.clientX - box.left, event.clientY - box.top));
    };
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      follow(event);
    });
    canvas.addEventListener("pointermove", event => event.buttons && follow(event));
    canvas.addEventListener("keydown", event => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const step = steps[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      if (this.isPlane) {
        const share = event.shiftKey ? 0.1 : 0.02;
        const [u, v] = step.map((by, axis) => {
          const [low, high] = this.map.limits[axis];
          return Math.min(Math.max(this.code[axis] + by * share * (high - low), low), high);
        });
        this.go(u, v);
      } else this.pick((this.picked + step[0] + step[1] + this.images.count) % this.images.count);
    });
    $("background").addEventListener("change", () => this.decodePlane());
    $("another").addEventListener("click", () => this.pick(Math.floor(Math.random() * this.images.count)));
    $("back").addEventListener("click", () => this.pick(this.picked));
    $("mean-code").addEventListener("click", () => {
      this.code = Float64Array.from(this.run.mean);
      this.moved = true;
      this.update();
    });
  }

  // The decoded plane, a column of cells at a time, so that the page stays alive.
  decodePlane() {
    const { run } = this, [, height, width] = shape, cells = 16;
    this.map.backdrop = null;
    if (!$("background").checked) return this.map.draw();
    const whole = element("canvas"), cell = new Bitmap(shape);
    whole.width = cells * width;
    whole.height = cells * height;
    const context = whole.getContext("2d"), [[left, right], [bottom, top]] = this.map.limits;
    const column = x => {
      if (this.run !== run || !$("background").checked) return;
      for (let y = 0; y < cells; y++) {
        const code = [left + (x + 0.5) / cells * (right - left), top - (y + 0.5) / cells * (top - bottom)];
        cell.paint(run.net.decode(code));
        context.drawImage(cell.canvas, x * width, y * height);
      }
      this.map.backdrop = whole;
      this.map.draw();
      if (x + 1 < cells) setTimeout(column, 0, x + 1);
    };
    column(0);
  }

  redraw() {
    this.map.draw();
  }
}

const asCode = code => Array.from(code, value => value.toFixed(2).replace("-", "−")).join(", ");

// Points (u, v); of codes of one number, all at the same height.
function pairs(run) {
  if (run.latent > 1) return run.points;
  return Float64Array.from({ length: 2 * run.points.length }, (_, n) => (n % 2 ? 0 : run.points[n / 2]));
}

// From one image to another, through the codes and through the pixels.
class BetweenView {
  constructor(images, errorColours) {
    const steps = 9;
    this.images = images;
    const parent = $("between-pictures");
    const [first, latent, pixel, second] = ["first image", "through the codes", "through the pixels", "second image"].map(
      (name, n) => new Picture(parent, name, shape, errorColours, n === 1 || n === 2 ? "large" : ""));
    Object.assign(this, { latent, pixel, ends: [first, second] });
    this.strips = ["codes", "pixels"].map(name => {
      const strip = element("div", { class: "strip", role: "img", "aria-label": `Nine steps through the ${name}` });
      const row = element("div", { class: "strip-row" }, element("span", { class: "strip-name" }, name), strip);
      $("strips").append(row);
      return Array.from({ length: steps }, () => {
        const bitmap = new Bitmap(shape);
        strip.append(bitmap.canvas);
        return bitmap;
      });
    });
    this.chosen = [0, 1].map(n => this.differing(n));
    this.update = scheduler(() => this.show());
    $("way").addEventListener("input", this.update);
    ["first", "second"].forEach((name, end) => {
      const kind = $(`${name}-class`);
      kind.append(...content.images.classes.map((label, n) => element("option", { value: n }, label)));
      kind.hidden = !content.images.classes.length;
      kind.addEventListener("change", () => this.choose(end, kind.value));
      $(`${name}-other`).addEventListener("click", () => this.choose(end, kind.value));
    });
  }

  // The first two images, of different classes if there are any.
  differing(n) {
    if (n === 0) return 0;
    const label = this.images.className(0);
    for (let k = 1; k < this.images.count; k++) if (this.images.className(k) !== label) return k;
    return this.images.count - 1;
  }

  setRun(run) {
    this.run = run;
    this.encode();
  }

  // Another image, of a class if one is given by its number.
  choose(end, label) {
    const all = Array.from({ length: this.images.count }, (_, n) => n);
    const others = all.filter(n => n !== this.chosen[end] && (label === "" || content.images.labels[n] === Number(label)));
    if (others.length) this.chosen[end] = others[Math.floor(Math.random() * others.length)];
    this.encode();
  }

  encode() {
    this.pixels = this.chosen.map(number => this.images.pixels(number));
    this.codes = this.pixels.map(image => Float64Array.from(this.run.net.encode(image)));
    this.mixed = { code: new Float64Array(this.run.latent), pixels: new Float64Array(pixelCount) };
    this.stripsAreOld = true;
    this.update();
  }

  mix([one, other], share, out) {
    for (let n = 0; n < out.length; n++) out[n] = (1 - share) * one[n] + share * other[n];
    return out;
  }

  show() {
    const share = Number($("way").value) / 100;
    this.ends.forEach((picture, n) => picture.show(this.pixels[n], "", this.images.name(this.chosen[n])));
    this.latent.show(this.run.net.decode(this.mix(this.codes, share, this.mixed.code)));
    this.pixel.show(this.mix(this.pixels, share, this.mixed.pixels));
    $("way-value").textContent = `${Math.round(100 * share)} %`;
    if (this.stripsAreOld) this.showStrips();
    announce(`${Math.round(100 * share)} % of the way`);
  }

  showStrips() {
    this.stripsAreOld = false;
    const [codes, pixels] = this.strips;
    codes.forEach((bitmap, n) => {
      const share = n / (codes.length - 1);
      bitmap.paint(this.run.net.decode(this.mix(this.codes, share, this.mixed.code)));
      pixels[n].paint(this.mix(this.pixels, share, this.mixed.pixels));
    });
    this.mix(this.pixels, Number($("way").value) / 100, this.mixed.pixels);
  }

  redraw() {}
}

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
      output: picture(run.corruption ? "restored" : "reconstruction"),
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
    if (!$("noise")) {
      if (!$("low").checked) return false;
      this.corrupted.resize(seen).forEach((value, n) => (input[n] = Math.min(Math.max(value, 0), 1)));
      return true;
    }
    const { kind } = this.corrupted.corruption;
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
    for (const name of ["centre", "noise", "low"]) $(name)?.addEventListener("input", this.update);
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
