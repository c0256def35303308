"use strict";

// The codes: a map to pick from, and what is decoded there.

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

  // The same position in PCA's plane, which is aligned with that of the codes.
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
