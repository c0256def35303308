"use strict";

// What the views share: the images, PCA, and the runs with their networks.

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
