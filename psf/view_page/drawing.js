// Small tools for drawing: SVG elements, ticks, colours, kernels on a canvas.

const SVG = "http://www.w3.org/2000/svg";
const DECADES = 4; // below the peak, of logarithmic pictures
// matplotlib's inferno at 33 even places.
const INFERNO = ("0000040403120b0724150b37210c4a2f0a5b3d09654a0c6b57106e64156e71196e7d1e6d8a226a972766a32c61b0315bbc3754" +
  "c73e4cd24644db503be45a31eb6628f1731df68013f98e09fb9d07fcac11fbbc21f9cb35f5db4cf2ea69f3f68afcffa4");
const COLOURS = makeColours();

function makeColours() {
  const stops = [];
  for (let i = 0; i < INFERNO.length; i += 6) {
    stops.push([0, 2, 4].map((k) => parseInt(INFERNO.slice(i + k, i + k + 2), 16)));
  }
  const table = new Uint8Array(3 * 256);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1), before = Math.min(Math.floor(place), stops.length - 2);
    for (let k = 0; k < 3; k++) {
      table[3 * i + k] = Math.round(stops[before][k] + (place - before) * (stops[before + 1][k] - stops[before][k]));
    }
  }
  return table;
}

/** A new element of a drawing, or of the page, with attributes and text. */
function draw(parent, name, attributes = {}, text = null) {
  const element = parent.namespaceURI === SVG ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  parent.append(element);
  return element;
}

function label(svg, x, y, text, anchor = "middle", more = {}) {
  return draw(svg, "text", { x, y, "text-anchor": anchor, ...more }, text);
}

function line(svg, x1, y1, x2, y2, stroke = "var(--line)", more = {}) {
  return draw(svg, "line", { x1, y1, x2, y2, stroke, ...more });
}

/** A part of a drawing that shows nothing outside its frame; coordinates stay those of the whole. */
function within(svg, x, y, width, height) {
  return draw(svg, "svg", { x, y, width, height, viewBox: `${x} ${y} ${width} ${height}`, fill: "none" });
}

/** Round numbers from low to high, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= 0.75 * rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** A number in as few signs as it needs, with a true minus. */
function say(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "–";
  let text = Math.abs(value) >= 10 ** digits ? value.toFixed(0) : Number(value.toPrecision(digits)).toString();
  if (/e/.test(text)) text = value.toExponential(digits - 1);
  return text.replace("-", "\u2212");
}

function fixed(value, digits) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

function sayDepth(dioptres) {
  return dioptres <= 0 ? "infinity" : `${say(1 / dioptres)} m`;
}

function srgb(linear) {
  return linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
}

function logarithmic(share) {
  return share <= 0 ? 0 : Math.max(0, 1 + Math.log10(share) / DECADES);
}

/** Names of the colours that stand for channels, in the page's own palette. */
function channelColours(channels) {
  const own = { R: "var(--red)", G: "var(--green)", B: "var(--blue)" };
  const others = ["var(--accent)", "var(--other)", "var(--green)", "var(--red)"];
  return channels.map((one, i) => own[one.name.toUpperCase().charAt(0)] ?? (channels.length === 1 ? "var(--accent)" : others[i % 4]));
}

/** Paint kernels (one: in false colours, three: as red, green, blue) on a canvas of `side` pixels, cut from their middle. */
function paintKernels(canvas, kernels, K, side, scale) {
  if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"), image = context.createImageData(side, side), lead = (K - side) / 2;
  const peak = Math.max(...kernels.map((one) => one.reduce((a, b) => Math.max(a, b), 0)));
  const colour = kernels.length >= 3;
  const shade = { linear: colour ? srgb : (v) => v, root: (v) => (colour ? srgb(Math.sqrt(v)) : Math.sqrt(v)), log: logarithmic }[scale];
  const inside = (one) => one + lead >= 0 && one + lead < K;
  for (let r = 0, at = 0; r < side; r++) {
    for (let c = 0; c < side; c++, at += 4) {
      const from = (r + lead) * K + c + lead;
      if (!(inside(r) && inside(c))) continue; // nothing is known there: the page shows through
      if (colour) {
        for (let k = 0; k < 3; k++) image.data[at + k] = Math.round(255 * shade(kernels[k][from] / peak));
      } else {
        const index = 3 * Math.round(255 * shade(kernels[0][from] / peak));
        for (let k = 0; k < 3; k++) image.data[at + k] = COLOURS[index + k];
      }
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return peak;
}

/** A CSS gradient of the colours that `paintKernels` uses. */
function colourBar(isColour, scale) {
  const stops = [];
  for (let i = 0; i <= 16; i++) {
    const share = scale === "log" ? 10 ** (-DECADES * (1 - i / 16)) : i / 16;
    const shown = scale === "log" ? logarithmic(share) : isColour ? srgb(share) : share;
    const index = 3 * Math.round(255 * shown), grey = Math.round(255 * shown);
    const rgb = isColour ? [grey, grey, grey] : [0, 1, 2].map((k) => COLOURS[index + k]);
    stops.push(`rgb(${rgb.join(" ")})`);
  }
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/** The frame of a square plot in um about the middle, and the map from um to its pixels. */
function squareAxes(svg, box, half_um, title) {
  const { left, top, size } = box, middle_x = left + size / 2, middle_y = top + size / 2, scale = size / (2 * half_um);
  const toX = (um) => middle_x + um * scale, toY = (um) => middle_y - um * scale;
  for (const um of ticks(-half_um, half_um, size > 230 ? 6 : 4)) {
    line(svg, toX(um), top + size, toX(um), top + size + 4, "var(--soft)");
    line(svg, left - 4, toY(um), left, toY(um), "var(--soft)");
    label(svg, toX(um), top + size + 15, say(um));
    label(svg, left - 6, toY(um) + 3.5, say(um), "end");
  }
  if (title) label(svg, middle_x, top + size + 28, title);
  return { toX, toY, scale };
}
