// The page's state and what people do to it. Everything shown follows from `state`; `request` draws it again.

const state = { x_px: 0, y_px: 0, dioptres: 0, channel: -1, zoom: 1, marks: true, mapped: 0 };
const SWEEP_S = 6;
const byId = (id) => document.getElementById(id);
let fields = [], panels = [], range = { low: 0, high: 1 }, greatest_um = new Map();
let sensorPlace = null, chartPlace = null, isWaiting = false, thumbs = null, sweeping = null;

async function readField(place) {
  const meta = JSON.parse(byId(`meta-${place}`).textContent);
  const packed = Uint8Array.from(atob(byId(`data-${place}`).textContent), (one) => one.charCodeAt(0));
  byId(`data-${place}`).remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return openField(meta, await new Response(stream).arrayBuffer());
}

/** The same place on another sensor: equal image height and azimuth. */
function placeOn(field) {
  const own = fields[0], scale = field.halfDiagonal_px / own.halfDiagonal_px;
  return {
    x_px: (field.W - 1) / 2 + (state.x_px - (own.W - 1) / 2) * scale,
    y_px: (field.H - 1) / 2 + (state.y_px - (own.H - 1) / 2) * scale,
  };
}

function shownChannel(field) {
  return Math.min(state.channel, field.C - 1);
}

/** Change the state and draw again; what lies outside is put at the border. */
function set(changes) {
  Object.assign(state, changes);
  const own = fields[0];
  state.x_px = clamp(Math.round(2 * state.x_px) / 2, 0, own.W - 1);
  state.y_px = clamp(Math.round(2 * state.y_px) / 2, 0, own.H - 1);
  state.dioptres = clamp(state.dioptres, range.low, range.high);
  request();
}

function request() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    render();
  });
}

function render() {
  const mapped = fields[state.mapped], onMap = placeOn(mapped);
  sensorPlace = drawSensor(byId("sensor"), mapped, onMap.x_px, onMap.y_px);
  const windows_um = windowsOf(fields, state.zoom), radii = [];
  fields.forEach((field, i) => {
    const { x_px, y_px } = placeOn(field), found = measurePlace(field, x_px, y_px, state.dioptres);
    radii.push(found.radius);
    panels[i].found = found;
    fillPanel(panels[i], found, { channel: state.channel, side_um: windows_um[i], marks: state.marks });
    const ends = [-field.places[field.D - 1], -field.places[0]], nearest = clamp(state.dioptres, ...ends);
    const beyond = Math.abs(nearest - state.dioptres) > 1e-9 ? ` Its depths end at ${sayDepth(nearest)}: that kernel is shown.` : "";
    panels[i].facts.textContent = `${factsOf(field)}${beyond}`.trim();
  });
  chartPlace = drawDepthChart(byId("depth-chart"), fields, radii, { ...range, dioptres: state.dioptres, channel: state.channel, greatest_um });
  sayPlace(panels[0].found);
  drawThumbs(mapped);
  remember();
}

function sayPlace({ radius, cosine, sine }) {
  const own = fields[0], mm = own.pitch_um / 1000;
  const right = (state.x_px - (own.W - 1) / 2) * mm, up = ((own.H - 1) / 2 - state.y_px) * mm;
  const azimuth = Math.round((Math.atan2(sine, cosine) * 180) / Math.PI);
  const text = `right ${fixed(right, 2)} mm, up ${fixed(up, 2)} mm`;
  const more = `image height ${radius.toFixed(2)}, azimuth ${say(azimuth)}°, pixel (${state.x_px}, ${state.y_px})`;
  const readout = byId("place-readout");
  readout.replaceChildren();
  draw(readout, "b", {}, text);
  readout.append(` · ${more}`);
  byId("sensor").setAttribute("aria-valuenow", radius.toFixed(3));
  byId("sensor").setAttribute("aria-valuetext", `${text}, ${more}`);
  const depth = state.dioptres <= 0 ? "infinity" : `${sayDepth(state.dioptres)} · ${fixed(state.dioptres, 2)} dpt`;
  byId("depth-readout").textContent = depth;
  byId("depth").value = state.dioptres;
  byId("depth").setAttribute("aria-valuetext", depth);
}

function factsOf(field) {
  const { meta } = field, focus = meta.focus_m === null ? "infinity" : `${say(meta.focus_m)} m`;
  const growth = Math.abs(meta.magnification - 1) > 1e-6 ? `, image scale ${say(meta.magnification, 5)}` : "";
  return `${field.K} × ${field.K} px of ${say(field.pitch_um)} µm, focus at ${focus}${growth}.`;
}

/** Kernels round the sensor, a few per frame so that dragging stays smooth. */
function drawThumbs(field) {
  const canvas = byId("sensor").querySelector("canvas"), density = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.round(sensorPlace.width * density), height = Math.round(sensorPlace.height * density);
  const key = [state.mapped, state.dioptres, state.channel, state.zoom, width, height].join();
  if (thumbs && thumbs.key === key) return;
  const { columns, rows } = mapGrid(field, sensorPlace.width);
  const cells = [];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) cells.push([r, c]);
  const job = { key, cells, at: 0 };
  thumbs = job;
  const context = canvas.getContext("2d"), tile = document.createElement("canvas");
  const composite = state.channel < 0 && field.C >= 3;
  const channels = composite ? [0, 1, 2] : [Math.max(shownChannel(field), 0)];
  const side = windowSide(field, (field.K * field.pitch_um) / state.zoom);
  const step = () => {
    if (thumbs !== job) return;
    if (job.at === 0) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      context.imageSmoothingQuality = "high";
    }
    const until = performance.now() + 12;
    while (job.at < cells.length && performance.now() < until) {
      const [r, c] = cells[job.at++];
      const x_px = ((c + 0.5) * field.W) / columns - 0.5, y_px = ((r + 0.5) * field.H) / rows - 0.5;
      const kernels = kernelsAtPixel(field, x_px, y_px, state.dioptres, { channels, turning: "bilinear" });
      paintKernels(tile, kernels, field.K, side, "root");
      const size = Math.min(width / columns, height / rows), x = ((c + 0.5) * width) / columns, y = ((r + 0.5) * height) / rows;
      context.fillStyle = composite ? "#000" : "#000004";
      context.fillRect(Math.floor((c * width) / columns), Math.floor((r * height) / rows), Math.ceil(width / columns) + 1, Math.ceil(height / rows) + 1);
      context.drawImage(tile, x - size / 2, y - size / 2, size, size);
    }
    if (job.at < cells.length) requestAnimationFrame(step);
  };
  step();
}

/** The address remembers what is shown, so that it can be sent with the page. */
function remember() {
  const words = { x: state.x_px, y: state.y_px, dpt: Number(state.dioptres.toFixed(6)), ch: state.channel, zoom: state.zoom };
  try {
    history.replaceState(null, "", `#${new URLSearchParams(words)}`);
  } catch {
    // Pages inside other pages have no address of their own.
  }
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1)), found = {};
  for (const [name, key] of [["x", "x_px"], ["y", "y_px"], ["dpt", "dioptres"], ["ch", "channel"], ["zoom", "zoom"]]) {
    const value = Number(words.get(name));
    if (words.has(name) && Number.isFinite(value)) found[key] = value;
  }
  if ("channel" in found) found.channel = clamp(Math.round(found.channel), -1, Math.max(...fields.map((one) => one.C)) - 1);
  if ("zoom" in found && ![1, 2, 4, 8].includes(found.zoom)) delete found.zoom;
  return found;
}

function offer(id, choices, key) {
  const group = byId(id);
  for (const [value, text] of choices) {
    const one = draw(group, "label");
    const input = draw(one, "input", { type: "radio", name: id, value });
    input.checked = state[key] === value;
    input.addEventListener("change", () => set({ [key]: value }));
    one.append(text);
  }
}

function followPointer(element, move) {
  const go = (event) => {
    const box = element.getBoundingClientRect();
    move(event.clientX - box.left, event.clientY - box.top);
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    stopSweep();
    go(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) go(event);
  });
}

function moveByKey(event) {
  const field = fields[0], step = event.shiftKey ? 1 : field.halfDiagonal_px / 50;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    const [dx, dy] = moves[event.key];
    set({ x_px: state.x_px + dx * step, y_px: state.y_px + dy * step });
  } else if (event.key === "Home") set({ x_px: (field.W - 1) / 2, y_px: (field.H - 1) / 2 });
  else if (event.key === "End") set({ x_px: field.W - 1, y_px: 0 });
  else return;
  event.preventDefault();
}

function stopSweep() {
  if (sweeping) cancelAnimationFrame(sweeping);
  sweeping = null;
  byId("sweep").setAttribute("aria-pressed", "false");
}

/** Go through all depths and back until stopped. */
function toggleSweep() {
  if (sweeping) {
    stopSweep();
    return;
  }
  const { low, high } = range, start = (state.dioptres - low) / (high - low || 1);
  let from = null;
  const step = (now) => {
    from ??= now;
    const place = (start + (now - from) / (1000 * SWEEP_S)) % 2;
    set({ dioptres: low + (high - low) * (place > 1 ? 2 - place : place) });
    sweeping = requestAnimationFrame(step);
  };
  byId("sweep").setAttribute("aria-pressed", "true");
  sweeping = requestAnimationFrame(step);
}

function nextTheme() {
  const button = byId("theme"), root = document.documentElement;
  const next = { "": "light", light: "dark", dark: "" }[root.dataset.theme ?? ""];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  button.textContent = `Theme: ${next || "auto"}`;
  button.setAttribute("aria-label", `Theme: ${next || "as the system has it"}`);
}

function tellAbout() {
  const about = byId("provenance");
  for (const { meta } of fields) {
    const [depths, radii, px] = meta.stored, [here, high] = meta.shape;
    const of = (part, all) => (part === all ? `${all}` : `${part} of ${all}`);
    const waves = meta.channels.map((one) => `${one.name} ${one.wavelengths_um.map((um) => say(um, 4)).join(" ")}`).join(", ");
    const rest = [
      `${meta.name}: ${of(here, depths)} depths, ${of(high, radii)} image heights, window ${of(meta.kernel_px, px)} px.`,
      `Kernels are kept as 16-bit roots, within ${say(meta.rounding_l1, 1)} of the field's (share of the light in the wrong place).`,
      meta.thinning_l1 ? `Kernels left out are met within ${say(meta.thinning_l1[1], 2)} (mean ${say(meta.thinning_l1[0], 2)}).` : "",
      meta.lens ? `Lens: ${meta.lens}.` : "", meta.source ? `Source: ${meta.source}.` : "",
      meta.channels.some((one) => one.wavelengths_um.length) ? `Wavelengths in µm: ${waves}.` : "",
      meta.version ? `Made by ${meta.version}.` : "", meta.file_sha256 ? `SHA-256 of its file: ${meta.file_sha256}.` : "",
    ];
    draw(about, "p", {}, rest.filter(Boolean).join(" "));
  }
}

async function start() {
  const count = document.querySelectorAll('[id^="meta-"]').length;
  for (let i = 0; i < count; i++) fields.push(await readField(i));
  const own = fields[0];
  range = {
    low: Math.min(...fields.map((field) => -field.places[field.D - 1])),
    high: Math.max(...fields.map((field) => -field.places[0])),
  };
  for (const field of fields) {
    let most = 0;
    for (let n = 0; n < field.moments.length; n += 4) most = Math.max(most, field.moments[n + 2] + field.moments[n + 3]);
    greatest_um.set(field, (2 * Math.SQRT2 * Math.sqrt(most) * field.pitch_um) / field.O);
  }
  const focus = own.meta.focus_m === null ? range.low : 1 / own.meta.focus_m;
  const right = (own.W - 1) / 2 + 0.6 * (own.W / 2), up = (own.H - 1) / 2 - 0.5 * (own.H / 2);
  const few = fields.every((field) => field.C < 3);
  const widest = fields.reduce((a, b) => (a.C >= b.C ? a : b)).meta.channels;
  Object.assign(state, { x_px: right, y_px: up, dioptres: 0.75 * focus + 0.25 * range.high, channel: few ? 0 : -1 }, recall());
  if (few && state.channel < 0) state.channel = 0;
  offer("channel", [...(few ? [] : [[-1, "RGB"]]), ...widest.map((one, c) => [c, one.name])], "channel");
  offer("zoom", [[1, "whole window"], [2, "2×"], [4, "4×"], [8, "8×"]], "zoom");
  if (fields.length > 1) offer("mapped", [[0, "A"], [1, "B"]], "mapped");
  byId("lead").textContent = `Point-spread function over sensor and depth${fields.length > 1 ? ": two fields at the same image height" : ""}`;
  const slider = byId("depth");
  Object.assign(slider, { min: range.low, max: range.high, step: (range.high - range.low) / 240 || 1 });
  slider.disabled = range.high === range.low;
  byId("main").hidden = false;
  byId("fields").classList.toggle("two", fields.length > 1);
  panels = fields.map((field, i) => buildPanel(byId("fields"), field, fields.length > 1 ? "AB"[i] : ""));
  tellAbout();
  slider.addEventListener("input", () => {
    stopSweep();
    set({ dioptres: Number(slider.value) });
  });
  followPointer(byId("sensor"), (x, y) => {
    const field = fields[state.mapped], scale = own.halfDiagonal_px / field.halfDiagonal_px;
    set({
      x_px: (own.W - 1) / 2 + (sensorPlace.fromX(x) - (field.W - 1) / 2) * scale,
      y_px: (own.H - 1) / 2 + (sensorPlace.fromY(y) - (field.H - 1) / 2) * scale,
    });
  });
  followPointer(byId("depth-chart"), (x) => set({ dioptres: chartPlace.fromX(x) }));
  byId("sensor").addEventListener("keydown", moveByKey);
  byId("sweep").addEventListener("click", toggleSweep);
  byId("theme").addEventListener("click", nextTheme);
  byId("marks").addEventListener("change", (event) => set({ marks: event.target.checked }));
  window.addEventListener("beforeprint", render);
  window.addEventListener("afterprint", request);
  new ResizeObserver(request).observe(byId("main"));
  set({});
  window.psfview = { fields, state, set, measurePlace, kernelsAtPixel, placeOn, render };
}

start().catch((error) => {
  byId("trouble").textContent = `This page cannot be shown: ${error.message}. It needs a browser of 2023 or later.`;
  byId("trouble").hidden = false;
});
