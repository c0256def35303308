"use strict";

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
