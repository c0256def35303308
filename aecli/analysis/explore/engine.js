"use strict";

// The layers of aecli's networks on typed arrays: maps are (channels, height, width), and each
// operation writes to an array of its own, which the next call overwrites.

const BYTES = { float16: 2, float32: 4, uint8: 1 };

function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// An array of the block: doubles, or bytes as they are.
function unpack(block, [begin, count, kind]) {
  if (kind === "uint8") return block.subarray(begin, begin + count);
  const view = new DataView(block.buffer, block.byteOffset + begin, count * BYTES[kind]);
  const values = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    values[n] = kind === "float16" ? fromHalf(view.getUint16(2 * n, true)) : view.getFloat32(4 * n, true);
  }
  return values;
}

// out[start + j * step + i] = bias[j] + sum over t of left[i, t] * right[j, t]: left has m rows of
// length k, right has n. Two rows and four columns at a time, so that sums stay in registers.
function product(left, m, right, n, k, bias, out, start, step) {
  let j = 0;
  for (; j + 3 < n; j += 4) {
    const r0 = j * k, r1 = r0 + k, r2 = r1 + k, r3 = r2 + k;
    const b0 = bias ? bias[j] : 0, b1 = bias ? bias[j + 1] : 0;
    const b2 = bias ? bias[j + 2] : 0, b3 = bias ? bias[j + 3] : 0;
    const to = start + j * step;
    let i = 0;
    for (; i + 1 < m; i += 2) {
      const one = i * k, two = one + k;
      let s0 = b0, s1 = b1, s2 = b2, s3 = b3, t0 = b0, t1 = b1, t2 = b2, t3 = b3;
      for (let t = 0; t < k; t++) {
        const a = left[one + t], b = left[two + t];
        const w0 = right[r0 + t], w1 = right[r1 + t], w2 = right[r2 + t], w3 = right[r3 + t];
        s0 += a * w0; s1 += a * w1; s2 += a * w2; s3 += a * w3;
        t0 += b * w0; t1 += b * w1; t2 += b * w2; t3 += b * w3;
      }
      out[to + i] = s0; out[to + step + i] = s1; out[to + 2 * step + i] = s2; out[to + 3 * step + i] = s3;
      out[to + i + 1] = t0; out[to + step + i + 1] = t1;
      out[to + 2 * step + i + 1] = t2; out[to + 3 * step + i + 1] = t3;
    }
    if (i < m) {
      const one = i * k;
      let s0 = b0, s1 = b1, s2 = b2, s3 = b3;
      for (let t = 0; t < k; t++) {
        const a = left[one + t];
        s0 += a * right[r0 + t]; s1 += a * right[r1 + t]; s2 += a * right[r2 + t]; s3 += a * right[r3 + t];
      }
      out[to + i] = s0; out[to + step + i] = s1; out[to + 2 * step + i] = s2; out[to + 3 * step + i] = s3;
    }
  }
  for (; j < n; j++) {
    for (let i = 0; i < m; i++) {
      let sum = bias ? bias[j] : 0;
      for (let t = 0; t < k; t++) sum += left[i * k + t] * right[j * k + t];
      out[start + j * step + i] = sum;
    }
  }
}

function size(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

function elementwise(layer, apply) {
  const out = new Float64Array(size(layer.to));
  return maps => {
    for (let n = 0; n < out.length; n++) out[n] = apply(maps[n]);
    return out;
  };
}

// Each maker returns a function from an array to an array; `switches` are the positions of maxima
// that an encoder leaves for its decoder.
const MAKERS = {
  relu: layer => elementwise(layer, value => (value > 0 ? value : 0)),
  leaky_relu: layer => elementwise(layer, value => (value > 0 ? value : layer.slope * value)),
  tanh: layer => elementwise(layer, Math.tanh),
  sigmoid: layer => elementwise(layer, value => 1 / (1 + Math.exp(-value))),
  silu: layer => elementwise(layer, value => value / (1 + Math.exp(-value))),

  // The first numbers of a code and its variances.
  first(layer) {
    const out = new Float64Array(size(layer.to));
    return rows => {
      for (let n = 0; n < out.length; n++) out[n] = rows[n];
      return out;
    };
  },

  linear(layer, block) {
    const weight = unpack(block, layer.weight), bias = unpack(block, layer.bias);
    const inputs = size(layer.from), out = new Float64Array(size(layer.to));
    return rows => {
      product(rows, 1, weight, out.length, inputs, bias, out, 0, 1);
      return out;
    };
  },

  // The pixels under the kernel at each position of an output row, side by side, times the kernels.
  conv(layer, block) {
    const weight = unpack(block, layer.weight), bias = unpack(block, layer.bias);
    const [channels, height, width] = layer.from, [kernels, rows, columns] = layer.to;
    const [kh, kw] = layer.kernel, [sy, sx] = layer.stride;
    const [py, px] = layer.padding, [dy, dx] = layer.dilation;
    const length = channels * kh * kw;
    const patches = new Float64Array(columns * length);
    const out = new Float64Array(size(layer.to));
    return maps => {
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
          let to = x * length;
          for (let c = 0; c < channels; c++) {
            for (let ky = 0; ky < kh; ky++) {
              const row = y * sy - py + ky * dy;
              const from = (c * height + row) * width;
              const inside = row >= 0 && row < height;
              for (let kx = 0; kx < kw; kx++) {
                const column = x * sx - px + kx * dx;
                patches[to++] = inside && column >= 0 && column < width ? maps[from + column] : 0;
              }
            }
          }
        }
        product(patches, columns, weight, kernels, length, bias, out, y * columns, rows * columns);
      }
      return out;
    };
  },

  // Each input pixel adds the kernel, scaled by its value, to the output.
  transposed_conv(layer, block) {
    const given = unpack(block, layer.weight), bias = unpack(block, layer.bias);
    const [channels, height, width] = layer.from, [kernels, rows, columns] = layer.to;
    const [kh, kw] = layer.kernel, [sy, sx] = layer.stride;
    const [py, px] = layer.padding, [dy, dx] = layer.dilation;
    const count = kernels * kh * kw;
    const weight = new Float64Array(given.length);
    for (let c = 0; c < channels; c++) {
      for (let n = 0; n < count; n++) weight[n * channels + c] = given[c * count + n];
    }
    const pixels = new Float64Array(width * channels), stamps = new Float64Array(count * width);
    const out = new Float64Array(size(layer.to));
    return maps => {
      for (let k = 0; k < kernels; k++) out.fill(bias[k], k * rows * columns, (k + 1) * rows * columns);
      for (let y = 0; y < height; y++) {
        for (let c = 0; c < channels; c++) {
          for (let x = 0; x < width; x++) pixels[x * channels + c] = maps[(c * height + y) * width + x];
        }
        product(pixels, width, weight, count, channels, null, stamps, 0, width);
        let from = 0;
        for (let k = 0; k < kernels; k++) {
          for (let ky = 0; ky < kh; ky++) {
            const row = y * sy - py + ky * dy;
            if (row < 0 || row >= rows) {
              from += kw * width;
              continue;
            }
            const to = (k * rows + row) * columns;
            for (let kx = 0; kx < kw; kx++) {
              let column = kx * dx - px;
              for (let x = 0; x < width; x++, column += sx) {
                if (column >= 0 && column < columns) out[to + column] += stamps[from + x];
              }
              from += width;
            }
          }
        }
      }
      return out;
    };
  },

  // A matrix for the rows and one for the columns, of which most entries are zero.
  resize(layer, block) {
    const [channels, height, width] = layer.from, [, rows, columns] = layer.to;
    const down = entries(unpack(block, layer.rows), rows, height);
    const across = entries(unpack(block, layer.columns), columns, width);
    const between = new Float64Array(rows * width), out = new Float64Array(size(layer.to));
    return maps => {
      for (let c = 0; c < channels; c++) {
        const from = c * height * width, to = c * rows * columns;
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < width; x++) {
            let sum = 0;
            for (let e = down.begins[y]; e < down.begins[y + 1]; e++) {
              sum += down.values[e] * maps[from + down.places[e] * width + x];
            }
            between[y * width + x] = sum;
          }
        }
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < columns; x++) {
            let sum = 0;
            for (let e = across.begins[x]; e < across.begins[x + 1]; e++) {
              sum += across.values[e] * between[y * width + across.places[e]];
            }
            out[to + y * columns + x] = sum;
          }
        }
      }
      return out;
    };
  },

  pixel_shuffle(layer) {
    const [channels, rows, columns] = layer.to, factor = layer.factor;
    const height = rows / factor, width = columns / factor;
    const out = new Float64Array(size(layer.to));
    return maps => {
      let to = 0;
      for (let c = 0; c < channels; c++) {
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < columns; x++) {
            const map = (c * factor + (y % factor)) * factor + (x % factor);
            out[to++] = maps[(map * height + Math.floor(y / factor)) * width + Math.floor(x / factor)];
          }
        }
      }
      return out;
    };
  },

  max_pool(layer, block, switches) {
    const [channels, height, width] = layer.from, [, rows, columns] = layer.to;
    const out = new Float64Array(size(layer.to)), places = new Int32Array(out.length);
    return maps => {
      let to = 0;
      for (let c = 0; c < channels; c++) {
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < columns; x++, to++) {
            let best = -Infinity, place = 0;
            for (let row = y * layer.stride; row < Math.min((y + 1) * layer.stride, height); row++) {
              for (let column = x * layer.stride; column < Math.min((x + 1) * layer.stride, width); column++) {
                const value = maps[(c * height + row) * width + column];
                if (value > best) {
                  best = value;
                  place = row * width + column;
                }
              }
            }
            out[to] = best;
            places[to] = place;
          }
        }
      }
      switches.push(places);
      return out;
    };
  },

  // Without switches, as for a code that does not come from an image, to the corner of each cell.
  max_unpool(layer, block, switches) {
    const [channels, height, width] = layer.from, [, rows, columns] = layer.to;
    const out = new Float64Array(size(layer.to));
    return maps => {
      const places = switches.pop();
      out.fill(0);
      for (let c = 0; c < channels; c++) {
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            const from = (c * height + y) * width + x;
            const row = y * layer.stride, column = x * layer.stride;
            if (places) out[c * rows * columns + places[from]] = maps[from];
            else if (row < rows && column < columns) out[(c * rows + row) * columns + column] = maps[from];
          }
        }
      }
      return out;
    };
  },
};

// The entries of a matrix that are not zero, row by row.
function entries(matrix, rows, columns) {
  const begins = [0], places = [], values = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = matrix[row * columns + column];
      if (value !== 0) {
        places.push(column);
        values.push(value);
      }
    }
    begins.push(places.length);
  }
  return { begins: Int32Array.from(begins), places: Int32Array.from(places), values: Float64Array.from(values) };
}

// A network that encodes pixels in [0, 1] and decodes codes to pixels in [0, 1]. Each function
// returns an array of its own, which its next call overwrites.
function makeNetwork(description, block) {
  const switches = [];
  const made = layers => layers.map(layer => MAKERS[layer.op](layer, block, switches));
  const encoder = made(description.encoder), decoder = made(description.decoder);
  const inputs = new Float64Array(size(description.shape)), pixels = new Float64Array(inputs.length);
  const { mean, std } = description;
  const run = (layers, values) => layers.reduce((maps, layer) => layer(maps), values);

  function toCode(image) {
    for (let n = 0; n < inputs.length; n++) inputs[n] = (image[n] - mean) / std;
    return run(encoder, inputs);
  }

  function toPixels(code) {
    const output = run(decoder, code);
    for (let n = 0; n < pixels.length; n++) pixels[n] = Math.min(Math.max(output[n] * std + mean, 0), 1);
    return pixels;
  }

  return {
    encode(image) {
      switches.length = 0;
      return toCode(image);
    },
    decode(code) {
      switches.length = 0;
      return toPixels(code);
    },
    // With the positions of the maxima, which bypass the code.
    reconstruct(image) {
      switches.length = 0;
      return toPixels(toCode(image));
    },
  };
}
