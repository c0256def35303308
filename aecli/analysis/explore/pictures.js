"use strict";

// What is drawn: images as they are, a map of points, and bars.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// A canvas with as many pixels as the screen has under it; returns its context, in CSS pixels.
function sharp(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// A bitmap of the size of an image, into which images and errors are painted.
class Bitmap {
  constructor([channels, height, width], errorColours, canvas = element("canvas")) {
    Object.assign(this, { channels, height, width, errorColours, canvas });
    canvas.width = width;
    canvas.height = height;
    this.context = canvas.getContext("2d");
    this.data = this.context.createImageData(width, height);
    this.data.data.fill(255);
  }

  paint(values) {
    const { channels, data: { data } } = this, plane = this.width * this.height;
    for (let n = 0; n < plane; n++) {
      for (let c = 0; c < 3; c++) data[4 * n + c] = Math.round(255 * values[(channels > 1 ? c : 0) * plane + n]);
    }
    this.context.putImageData(this.data, 0, 0);
  }

  // The mean absolute error of each pixel over its channels.
  paintError(one, other) {
    const { channels, errorColours, data: { data } } = this, plane = this.width * this.height;
    for (let n = 0; n < plane; n++) {
      let error = 0;
      for (let c = 0; c < channels; c++) error += Math.abs(one[c * plane + n] - other[c * plane + n]) / channels;
      const level = Math.round(255 * Math.min(error, 1));
      for (let c = 0; c < 3; c++) data[4 * n + c] = errorColours[3 * level + c];
    }
    this.context.putImageData(this.data, 0, 0);
  }
}

// A bitmap with its name and a number below it.
class Picture {
  constructor(parent, name, shape, errorColours, kind = "") {
    this.bitmap = new Bitmap(shape, errorColours);
    this.name = name;
    this.bitmap.canvas.setAttribute("role", "img");
    this.title = element("span", { class: "name" }, name);
    this.number = element("span", { class: "number" });
    this.figure = element("figure", { class: `picture ${kind}` },
      this.bitmap.canvas, element("figcaption", {}, this.title, this.number));
    parent.append(this.figure);
  }

  say(number, name) {
    this.title.textContent = name || this.name;
    this.number.textContent = number;
    this.bitmap.canvas.setAttribute("aria-label", `${name || this.name}: ${number || "no number"}`);
  }

  show(values, number = "", name = "") {
    this.bitmap.paint(values);
    this.say(number, name);
  }

  showError(one, other, number = "") {
    this.bitmap.paintError(one, other);
    this.say(number);
  }
}

// Round numbers between two limits, about as many as are asked for.
function ticks(low, high, count) {
  const rough = (0.7 * (high - low)) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(Number((n * step).toPrecision(6)));
  return found;
}

const asText = number => String(number).replace("-", "−");

// Points in a plane, over which a cross moves.
class PointMap {
  constructor(canvas, axes) {
    Object.assign(this, { canvas, axes, backdrop: null, under: element("canvas") });
    this.margin = { left: 46, bottom: 40, top: 8, right: 8 };
  }

  setPoints(points, colours) {
    const columns = [0, 1].map(axis => points.filter((_, n) => n % 2 === axis));
    this.limits = columns.map(values => {
      const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
      const room = 0.05 * (high - low) || 0.5;
      return [low - room, high + room];
    });
    Object.assign(this, { points, colours });
    this.draw();
  }

  get box() {
    const { left, bottom, top, right } = this.margin;
    return { x: left, y: top, width: this.canvas.clientWidth - left - right, height: this.canvas.clientHeight - top - bottom };
  }

  toScreen(u, v) {
    const { x, y, width, height } = this.box, [[a, b], [c, d]] = this.limits;
    return [x + (u - a) / (b - a) * width, y + (d - v) / (d - c) * height];
  }

  fromScreen(px, py) {
    const { x, y, width, height } = this.box, [[a, b], [c, d]] = this.limits;
    const across = Math.min(Math.max((px - x) / width, 0), 1), down = Math.min(Math.max((py - y) / height, 0), 1);
    return [a + across * (b - a), d - down * (d - c)];
  }

  // The number of the nearest point on the screen.
  nearest(u, v) {
    const [px, py] = this.toScreen(u, v);
    let best = 0, least = Infinity;
    for (let n = 0; n < this.points.length / 2; n++) {
      const [x, y] = this.toScreen(this.points[2 * n], this.points[2 * n + 1]);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < least) [best, least] = [n, distance];
    }
    return best;
  }

  // Everything below the cross, which is drawn once and kept.
  draw() {
    if (!this.points || !this.canvas.clientWidth) return;
    const context = sharp(this.canvas);
    const { x, y, width, height } = this.box;
    if (this.backdrop) {
      context.imageSmoothingEnabled = false;
      context.drawImage(this.backdrop, x, y, width, height);
    }
    this.drawAxes(context);
    const radius = (width < 340 ? 3 : 4) * (this.backdrop ? 0.7 : 1);
    for (let n = 0; n < this.points.length / 2; n++) {
      const [px, py] = this.toScreen(this.points[2 * n], this.points[2 * n + 1]);
      context.beginPath();
      context.arc(px, py, radius, 0, 2 * Math.PI);
      context.fillStyle = this.colours[n] || ink("accent");
      context.fill();
      context.lineWidth = 0.75;
      context.strokeStyle = ink("paper");
      context.stroke();
    }
    this.under.width = this.canvas.width;
    this.under.height = this.canvas.height;
    this.under.getContext("2d").drawImage(this.canvas, 0, 0);
    if (this.cross) this.mark(...this.cross);
  }

  drawAxes(context) {
    const { x, y, width, height } = this.box, [across, up] = this.limits;
    context.strokeStyle = ink("line");
    context.lineWidth = 1;
    context.strokeRect(x, y, width, height);
    context.fillStyle = ink("soft");
    context.font = `12px ${ink("sans")}`;
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const each of ticks(...across, 5)) context.fillText(asText(each), this.toScreen(each, up[0])[0], y + height + 5);
    context.fillText(this.axes[0], x + width / 2, y + height + 22);
    context.textAlign = "right";
    context.textBaseline = "middle";
    if (this.axes[1]) for (const each of ticks(...up, 5)) context.fillText(asText(each), x - 6, this.toScreen(across[0], each)[1]);
    context.save();
    context.translate(9, y + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(this.axes[1], 0, 0);
    context.restore();
  }

  mark(u, v) {
    this.cross = [u, v];
    if (!this.canvas.clientWidth || !this.under.width) return;
    const context = sharp(this.canvas), box = this.box;
    context.drawImage(this.under, 0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    let [x, y] = this.toScreen(u, v);
    const radius = 9, room = radius + 2;
    x = Math.min(Math.max(x, box.x + room), box.x + box.width - room);
    y = Math.min(Math.max(y, box.y + room), box.y + box.height - room);
    for (const [colour, width] of [[ink("paper"), 6], [ink("ink"), 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

// The numbers of a code, around zero.
class Bars {
  constructor(parent, count, usual) {
    this.canvas = element("canvas", { class: "bars", role: "img" });
    this.usual = usual;
    this.count = count;
    parent.append(this.canvas);
  }

  show(code) {
    let low = 0, high = 0, largest = 0;
    for (let n = 0; n < this.count; n++) {
      low = Math.min(low, code[n], this.usual.low[n]);
      high = Math.max(high, code[n], this.usual.high[n]);
      if (Math.abs(code[n]) > Math.abs(code[largest])) largest = n;
    }
    this.canvas.setAttribute("aria-label",
      `${this.count} numbers; the largest is number ${largest + 1}, ${code[largest].toPrecision(3)}`);
    if (!this.canvas.clientWidth) return;
    const context = sharp(this.canvas), left = 38;
    const width = this.canvas.clientWidth - left, height = this.canvas.clientHeight - 12;
    const y = value => 6 + height * (high - value) / (high - low || 1);
    context.font = `12px ${ink("sans")}`;
    context.fillStyle = ink("soft");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const each of ticks(low, high || 1, 3)) context.fillText(asText(each), left - 6, y(each));
    const step = width / this.count, bar = Math.min(Math.max(step * 0.7, 0.6), 22);
    for (let n = 0; n < this.count; n++) {
      const x = left + (n + 0.5) * step - bar / 2;
      context.fillStyle = ink("wash");
      context.fillRect(x, y(this.usual.high[n]), bar, y(this.usual.low[n]) - y(this.usual.high[n]));
      context.fillStyle = ink("accent");
      context.fillRect(x, Math.min(y(0), y(code[n])), bar, Math.max(Math.abs(y(code[n]) - y(0)), 0.5));
    }
    context.fillStyle = ink("soft");
    context.fillRect(left, y(0), width, 1);
  }
}
