// Kernels of a field at any place: the sums of PolarPSFField.at_pixel ("sized" between the nodes, "cubic" or "bilinear"
// between samples), in double precision. Names and order follow psf/interpolation.py, psf/sampling.py, psf/turning.py.

const LEAST_STRETCH = 0.5, GREATEST_STRETCH = 2, PIXEL_VARIANCE = 1 / 12;
const LEAST_VARIANCE_RATIO = 0.25, GREATEST_VARIANCE_RATIO = 1.5;
const PAD = 4; // zeros round a kernel's lit box: a tap within reach of the light never leaves the array
const MOST_CACHED = 600;

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** A field from its description and its bytes: transmission, lost (float64), boxes (uint16 x 4), roots of light (uint16). */
function openField(meta, buffer) {
  const [D, R, C] = meta.shape;
  const count = D * R * C;
  const boxes = new Uint16Array(buffer, 16 * count, 4 * count);
  const starts = new Float64Array(count + 1);
  for (let n = 0; n < count; n++) starts[n + 1] = starts[n] + boxes[4 * n + 2] * boxes[4 * n + 3];
  const [H, W] = meta.image_shape_px;
  const field = {
    meta, D, R, C, H, W, boxes, starts,
    K: meta.kernel_px, O: meta.oversample, S: meta.kernel_px * meta.oversample,
    halfDiagonal_px: 0.5 * Math.hypot(W, H),
    pitch_um: meta.pitch_um,
    places: meta.depths_m.map((depth) => (depth === null ? 0 : -1 / depth)), // ascending, as depths do; minus the dioptres
    radii: meta.radii,
    transmission: new Float64Array(buffer, 0, count),
    lost: new Float64Array(buffer, 8 * count, count),
    values: new Uint16Array(buffer, 24 * count),
    cache: new Map(),
  };
  field.moments = findMoments(field);
  return field;
}

/** Centroid column and row from the middle, variance along columns and rows: stored pixels, four numbers per kernel. */
function findMoments(field) {
  const count = field.D * field.R * field.C, moments = new Float64Array(4 * count), middle = (field.S - 1) / 2;
  for (let n = 0; n < count; n++) {
    const [row0, col0, h, w] = field.boxes.subarray(4 * n, 4 * n + 4);
    let at = field.starts[n], sum = 0, x = 0, y = 0, xx = 0, yy = 0;
    for (let i = 0; i < h; i++) {
      const down = row0 + i - middle;
      for (let k = 0; k < w; k++, at++) {
        const light = field.values[at] * field.values[at], right = col0 + k - middle;
        sum += light;
        x += light * right;
        y += light * down;
        xx += light * right * right;
        yy += light * down * down;
      }
    }
    x /= sum;
    y /= sum;
    moments[4 * n] = x;
    moments[4 * n + 1] = y;
    moments[4 * n + 2] = Math.max(xx / sum - x * x, 0) + PIXEL_VARIANCE;
    moments[4 * n + 3] = Math.max(yy / sum - y * y, 0) + PIXEL_VARIANCE;
  }
  return moments;
}

/** One stored kernel of unit sum: its lit box with PAD zeros round it. */
function storedKernel(field, n) {
  const found = field.cache.get(n);
  if (found) return found;
  const [row0, col0, h, w] = field.boxes.subarray(4 * n, 4 * n + 4);
  const width = w + 2 * PAD, light = new Float64Array((h + 2 * PAD) * width);
  let at = field.starts[n], sum = 0;
  for (let i = 0; i < h; i++) {
    for (let k = 0; k < w; k++, at++) {
      const one = field.values[at] * field.values[at];
      light[(i + PAD) * width + k + PAD] = one;
      sum += one;
    }
  }
  for (let i = 0; i < light.length; i++) light[i] /= sum;
  if (field.cache.size >= MOST_CACHED) field.cache.delete(field.cache.keys().next().value);
  const kernel = { row0, col0, h, w, width, light };
  field.cache.set(n, kernel);
  return kernel;
}

function parabola(a, b, c, x) {
  return [
    ((x - b) * (x - c)) / ((a - b) * (a - c)),
    ((x - a) * (x - c)) / ((b - a) * (b - c)),
    ((x - a) * (x - b)) / ((c - a) * (c - b)),
  ];
}

/** The node before and after with their weights, and four around with the weights for a smooth quantity. */
function findNodes(nodes, place) {
  const count = nodes.length;
  if (count === 1) return { near: [0, 0], weight: [0, 1], wide: [0, 0, 0, 0], wideWeight: [0, 1, 0, 0] };
  let before = 0;
  while (before + 1 < count - 1 && nodes[before + 1] <= place) before++;
  const x = clamp(place, nodes[0], nodes[count - 1]);
  const wide = [-1, 0, 1, 2].map((step) => clamp(before + step, 0, count - 1));
  const hasLeft = before > 0, hasRight = before + 2 < count;
  const x1 = nodes[before], x2 = nodes[before + 1], step = x2 - x1, t = (x - x1) / step;
  const lower = [...parabola(hasLeft ? nodes[before - 1] : x1 - step, x1, x2, x), 0];
  const upper = [0, ...parabola(x1, x2, hasRight ? nodes[before + 2] : x2 + step, x)];
  let wideWeight = [0, 1 - t, t, 0];
  if (hasLeft && hasRight) wideWeight = lower.map((one, i) => (1 - t) * one + t * upper[i]);
  else if (hasLeft) wideWeight = lower;
  else if (hasRight) wideWeight = upper;
  return { near: [before, before + 1], weight: [1 - t, t], wide, wideWeight };
}

/** Image height and direction of a sensor pixel; azimuth 0 at the very centre. */
function polarPlace(field, x_px, y_px) {
  const right = x_px - (field.W - 1) / 2, up = (field.H - 1) / 2 - y_px, distance = Math.hypot(right, up);
  if (distance === 0) return { radius: 0, cosine: 1, sine: 0 };
  return { radius: distance / field.halfDiagonal_px, cosine: right / distance, sine: up / distance };
}

function nodesOf(field, radius, dioptres) {
  return { depth: findNodes(field.places, -dioptres), height: findNodes(field.radii, radius) };
}

/** Moments between the nodes, the smooth way: four numbers. */
function targetMoments(field, nodes, channel) {
  const target = [0, 0, 0, 0];
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) {
      const weight = nodes.depth.wideWeight[i] * nodes.height.wideWeight[j];
      if (weight === 0) continue;
      const at = 4 * ((nodes.depth.wide[i] * field.R + nodes.height.wide[j]) * field.C + channel);
      for (let m = 0; m < 4; m++) target[m] += weight * field.moments[at + m];
    }
  }
  return target;
}

/** The four neighbours: which, how much of each, and through which stretch and shift it is read. */
function neighbours(field, nodes, channel) {
  const target = targetMoments(field, nodes, channel), found = [];
  for (let i = 0; i < 2; i++) {
    for (let j = 0; j < 2; j++) {
      const n = (nodes.depth.near[i] * field.R + nodes.height.near[j]) * field.C + channel;
      found.push({ n, share: nodes.depth.weight[i] * nodes.height.weight[j], own: field.moments.subarray(4 * n, 4 * n + 4) });
    }
  }
  for (const [axis, name] of [[0, "x"], [1, "y"]]) {
    const variances = found.map((one) => one.own[2 + axis]);
    const least = LEAST_VARIANCE_RATIO * Math.min(...variances), most = GREATEST_VARIANCE_RATIO * Math.max(...variances);
    const wanted = Math.min(Math.max(target[2 + axis], least), most);
    for (const one of found) {
      const stretch = clamp(Math.sqrt(wanted / one.own[2 + axis]), LEAST_STRETCH, GREATEST_STRETCH);
      one[`stretch_${name}`] = stretch;
      one[`shift_${name}`] = one.own[axis] - target[axis] / stretch;
    }
  }
  for (const one of found) one.share /= one.stretch_x * one.stretch_y;
  return found.filter((one) => one.share !== 0);
}

function cubicWeights(t, out) { // Keys 1981, a = -1/2
  out[0] = ((-0.5 * t + 1) * t - 0.5) * t;
  out[1] = (1.5 * t - 2.5) * t * t + 1;
  out[2] = ((-1.5 * t + 2) * t + 0.5) * t;
  out[3] = (0.5 * t - 0.5) * t * t;
}

/** Add one neighbour, turned, stretched and shifted, to `out` (K x K). */
function addKernel(field, one, cosine, sine, isCubic, out) {
  const { S, K, O } = field, middle = (S - 1) / 2;
  const { row0, col0, h, w, width, light } = storedKernel(field, one.n);
  // Only the part of the output that the lit box falls on is visited.
  const rows = [], cols = [];
  for (const row of [row0 - 2, row0 + h + 1]) {
    for (const col of [col0 - 2, col0 + w + 1]) {
      const p = (row - middle - one.shift_y) * one.stretch_y, q = (col - middle - one.shift_x) * one.stretch_x;
      rows.push(cosine * p - sine * q);
      cols.push(sine * p + cosine * q);
    }
  }
  const first = (all) => clamp(Math.floor(Math.min(...all) + middle), 0, S - 1);
  const last = (all) => clamp(Math.ceil(Math.max(...all) + middle), 0, S - 1);
  const r1 = last(rows), c1 = last(cols), c0 = first(cols);
  const across = new Float64Array(4), along = new Float64Array(4), lead = PAD - 1;
  for (let r = first(rows); r <= r1; r++) {
    const line = Math.floor(r / O) * K;
    for (let c = c0; c <= c1; c++) {
      const row = (cosine * (r - middle) + sine * (c - middle)) / one.stretch_y + one.shift_y + middle - row0;
      const col = (-sine * (r - middle) + cosine * (c - middle)) / one.stretch_x + one.shift_x + middle - col0;
      if (row < -2 || row > h + 1 || col < -2 || col > w + 1) continue;
      const i = Math.floor(row), k = Math.floor(col), t = row - i, s = col - k;
      let value = 0;
      if (isCubic) {
        cubicWeights(t, across);
        cubicWeights(s, along);
        let at = (i + lead) * width + k + lead;
        for (let a = 0; a < 4; a++, at += width) {
          value += across[a] *
            (along[0] * light[at] + along[1] * light[at + 1] + along[2] * light[at + 2] + along[3] * light[at + 3]);
        }
      } else {
        const at = (i + PAD) * width + k + PAD;
        value = (1 - t) * ((1 - s) * light[at] + s * light[at + 1]) +
          t * ((1 - s) * light[at + width] + s * light[at + width + 1]);
      }
      out[line + Math.floor(c / O)] += one.share * value;
    }
  }
}

/** Kernels at a sensor pixel: one Float64Array of K x K, unit sum, per channel asked for. */
function kernelsAtPixel(field, x_px, y_px, dioptres, { channels = null, turning = "cubic" } = {}) {
  const { radius, cosine, sine } = polarPlace(field, x_px, y_px);
  const nodes = nodesOf(field, radius, dioptres);
  const wanted = channels ?? Array.from({ length: field.C }, (_, c) => c);
  return wanted.map((channel) => {
    const out = new Float64Array(field.K * field.K);
    for (const one of neighbours(field, nodes, channel)) addKernel(field, one, cosine, sine, turning === "cubic", out);
    let sum = 0;
    for (let i = 0; i < out.length; i++) {
      if (out[i] < 0) out[i] = 0;
      sum += out[i];
    }
    if (sum > 0) for (let i = 0; i < out.length; i++) out[i] /= sum;
    return out;
  });
}

/** Transmission or lost light between the nodes, linear in radius and dioptres. */
function mixed(field, values, radius, dioptres, channel) {
  const nodes = nodesOf(field, radius, dioptres);
  let sum = 0;
  for (let i = 0; i < 2; i++) {
    for (let j = 0; j < 2; j++) {
      const n = (nodes.depth.near[i] * field.R + nodes.height.near[j]) * field.C + channel;
      sum += nodes.depth.weight[i] * nodes.height.weight[j] * values[n];
    }
  }
  return sum;
}

/** Place and size of the light: centroid right and down, RMS radius, diameter of the even disc of that RMS radius. */
function measureKernel(kernel, K) {
  const half = (K - 1) / 2;
  let sum = 0, x = 0, y = 0, peak = 0;
  for (let r = 0, at = 0; r < K; r++) {
    for (let c = 0; c < K; c++, at++) {
      const light = kernel[at];
      sum += light;
      x += light * (c - half);
      y += light * (r - half);
      if (light > peak) peak = light;
    }
  }
  x /= sum;
  y /= sum;
  let spread = 0;
  for (let r = 0, at = 0; r < K; r++) {
    for (let c = 0; c < K; c++, at++) spread += kernel[at] * ((c - half - x) ** 2 + (r - half - y) ** 2);
  }
  const rms_px = Math.sqrt(spread / sum);
  return { right_px: x, down_px: y, rms_px, blur_px: 2 * Math.SQRT2 * rms_px, peak };
}

/** Contrast of line patterns, tangential (changing outwards) and sagittal, at even frequencies from 0 to 1/2 per px. */
function findMtf(kernel, K, cosine, sine, count = 65) {
  const half = (K - 1) / 2, step = Math.PI / (count - 1);
  const curves = [];
  for (const [right, down] of [[cosine, -sine], [sine, cosine]]) {
    const real = new Float64Array(count), imaginary = new Float64Array(count);
    for (let r = 0, at = 0; r < K; r++) {
      for (let c = 0; c < K; c++, at++) {
        const light = kernel[at];
        if (light === 0) continue;
        // The phase grows evenly with frequency: one turn per step, no cosine inside the loop.
        const phase = step * ((c - half) * right + (r - half) * down), a = Math.cos(phase), b = Math.sin(phase);
        let re = light, im = 0;
        for (let f = 0; f < count; f++) {
          real[f] += re;
          imaginary[f] += im;
          const next = re * a - im * b;
          im = re * b + im * a;
          re = next;
        }
      }
    }
    curves.push(real.map((one, f) => Math.hypot(one, imaginary[f]) / real[0]));
  }
  return { tangential: curves[0], sagittal: curves[1] };
}

/** Frequency per px where a contrast curve first falls to one half, or null. */
function halfContrast(curve) {
  for (let f = 1; f < curve.length; f++) {
    if (curve[f] <= 0.5) {
      return (0.5 * (f - 1 + (curve[f - 1] - 0.5) / (curve[f - 1] - curve[f]))) / (curve.length - 1);
    }
  }
  return null;
}

/** Blur diameter in px from interpolated moments alone: smooth in depth, for the curve behind the slider. */
function blurFromMoments(field, radius, dioptres, channel) {
  const [, , xx, yy] = targetMoments(field, nodesOf(field, radius, dioptres), channel);
  const fine = field.O * field.O;
  // A sensor pixel of O x O stored ones is itself taken as a point in its centre.
  const variance = (xx + yy - 2 * PIXEL_VARIANCE) / fine + 2 * PIXEL_VARIANCE * (1 - 1 / fine);
  return 2 * Math.SQRT2 * Math.sqrt(Math.max(variance, 0));
}
