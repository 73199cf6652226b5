// The parts of the page that show one field: kernels, numbers, contrast; and the sensor and the curve over depth.

const MOST_PADDING = 2.5; // windows of two fields get one scale up to this ratio
// Rows of the table: what, its unit, and how it is told.
const FIGURES = [
  ["Blur diameter", "px", (one) => fixed(one.blur_px, 2)],
  ["", "µm", (one, field) => fixed(one.blur_px * field.pitch_um, 1)],
  ["Centroid, right", "px", (one) => fixed(one.right_px, 2)],
  ["Centroid, up", "px", (one) => fixed(-one.down_px, 2)],
  ["Transmission", "%", (one) => fixed(100 * one.transmission, 1)],
  ["", "stops", (one) => (one.transmission > 0 ? fixed(Math.log2(one.transmission), 2) : "–")],
  ["Outside the window", "%", (one) => fixed(100 * one.lost, 2)],
  ["MTF50, sagittal", "per mm", (one) => sayHalf(one.mtf50_per_mm[0])],
  ["MTF50, tangential", "per mm", (one) => sayHalf(one.mtf50_per_mm[1])],
];

function sayHalf(per_mm) {
  return per_mm === null ? "> Nyquist" : fixed(per_mm, per_mm < 10 ? 2 : per_mm < 100 ? 1 : 0);
}

/** The elements of one field's part of the page. */
function buildPanel(parent, field, letter) {
  const root = draw(parent, "article", { class: "field" });
  const head = draw(root, "header");
  const title = draw(head, "h3");
  if (letter) draw(title, "span", { class: "letter" }, letter);
  title.append(field.meta.name);
  const facts = draw(head, "p", { class: "facts" });
  const kernel = (name, title_) => {
    const figure = draw(root, "figure");
    const caption = draw(figure, "figcaption");
    draw(caption, "b", {}, title_);
    const note = draw(caption, "span");
    const plot = draw(figure, "div", { class: "plot kernel", role: "img" });
    const canvas = draw(plot, "canvas", { "aria-hidden": "true" });
    const svg = plot.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("aria-hidden", "true");
    const bar = draw(figure, "div", { class: "bar", "aria-hidden": "true" });
    return { name, note, plot, canvas, svg, low: draw(bar, "span"), ramp: draw(bar, "i"), high: draw(bar, "span") };
  };
  const kernels = [kernel("linear", "Linear"), kernel("log", "Logarithmic")];
  const contrast = draw(root, "figure", { class: "mtf-part" });
  const caption = draw(contrast, "figcaption");
  const mine = letter ? `${letter} · ` : "";
  draw(caption, "b", {}, `${mine}Contrast (MTF)`);
  draw(caption, "span", {}, "solid sagittal, dashed tangential");
  const mtf = draw(contrast, "div", { class: "plot mtf", role: "img" });
  const mtfSvg = mtf.appendChild(document.createElementNS(SVG, "svg"));
  mtfSvg.setAttribute("aria-hidden", "true");
  const numbers = draw(root, "div", { class: "numbers" });
  const table = draw(numbers, "table");
  draw(table, "caption", {}, `${mine}At this place`);
  const colours = channelColours(field.meta.channels), row = draw(draw(table, "thead"), "tr"), body = draw(table, "tbody");
  draw(row, "td", { colspan: 2 });
  field.meta.channels.forEach((one, c) => {
    const cell = draw(row, "th", { scope: "col" });
    draw(cell, "span", { class: "dot", style: `background:${colours[c]}` });
    cell.append(one.name);
  });
  for (const [name, unit] of FIGURES) {
    const figures = draw(body, "tr");
    draw(figures, "th", { scope: "row" }, name);
    draw(figures, "td", { class: "unit" }, unit);
    field.meta.channels.forEach(() => draw(figures, "td"));
  }
  return { root, field, facts, kernels, mtf, mtfSvg, body, colours };
}

/** Everything that is measured at a place: per channel, with the contrast curves. */
function measurePlace(field, x_px, y_px, dioptres) {
  const { radius, cosine, sine } = polarPlace(field, x_px, y_px);
  const kernels = kernelsAtPixel(field, x_px, y_px, dioptres);
  const channels = kernels.map((kernel, c) => {
    const mtf = findMtf(kernel, field.K, cosine, sine), per_mm = 1000 / field.pitch_um;
    const half = [mtf.sagittal, mtf.tangential].map(halfContrast).map((one) => (one === null ? null : one * per_mm));
    return {
      name: field.meta.channels[c].name, ...measureKernel(kernel, field.K), mtf, mtf50_per_mm: half,
      transmission: mixed(field, field.transmission, radius, dioptres, c),
      lost: mixed(field, field.lost, radius, dioptres, c),
    };
  });
  return { radius, cosine, sine, kernels, channels };
}

/** Fill one field's part of the page. `view`: channel (-1: all), side_um of the window, marks. */
function fillPanel(panel, found, view) {
  const { field } = panel;
  const shown = view.channel >= 0 ? [Math.min(view.channel, field.C - 1)] : found.channels.map((_, c) => c);
  const composite = view.channel < 0 && field.C >= 3;
  const painted = composite ? [0, 1, 2] : [shown[0]];
  const side = windowSide(field, view.side_um);
  for (const part of panel.kernels) {
    const peak = paintKernels(part.canvas, painted.map((c) => found.kernels[c]), field.K, side, part.name);
    frameKernel(panel, part, found, { side, shown: composite ? painted : shown.slice(0, 1), marks: view.marks });
    part.ramp.style.background = colourBar(composite, part.name);
    part.low.textContent = part.name === "log" ? "10⁻⁴" : "0";
    part.high.textContent = part.name === "log" ? "1 = peak" : `${say(100 * peak)} % per px`;
    part.note.textContent = composite ? field.meta.channels.slice(0, 3).map((one) => one.name).join(" ") : field.meta.channels[shown[0]].name;
    part.plot.setAttribute("aria-label", `Kernel, ${part.name} scale, ${part.note.textContent}; peak ${say(100 * peak)} % of the light per pixel`);
  }
  drawMtf(panel, found, shown);
  FIGURES.forEach(([, , tell], i) => {
    found.channels.forEach((one, c) => {
      panel.body.rows[i].cells[c + 2].textContent = tell(one, field);
    });
  });
}

/** Side of the window in um that is shown of each field: the same where that does not make one of them tiny. */
function windowsOf(fields, zoom) {
  const own = fields.map((field) => field.K * field.pitch_um), most = Math.max(...own);
  return own.map((one) => (most / one <= MOST_PADDING ? most : one) / zoom);
}

/** The same in whole pixels, odd as the kernel's side is; more than that is outside the stored window. */
function windowSide(field, side_um) {
  return Math.max(2 * Math.round((side_um / field.pitch_um - 1) / 2) + 1, Math.min(3, field.K));
}

function frameKernel(panel, part, found, { side, shown, marks }) {
  const { field } = panel, { plot, svg, canvas } = part, width = plot.clientWidth;
  const narrow = width < 230, box = { left: narrow ? 30 : 38, top: 2, size: width - (narrow ? 34 : 44) };
  plot.style.aspectRatio = "auto";
  plot.style.height = `${box.size + box.top + 32}px`;
  Object.assign(canvas.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.size}px`, height: `${box.size}px` });
  svg.replaceChildren();
  const half_um = (side * field.pitch_um) / 2;
  const { toX, toY, scale } = squareAxes(svg, box, half_um, "µm");
  if (!marks) return;
  const group = within(svg, box.left, box.top, box.size, box.size);
  const cross = 5;
  for (const [dx, dy] of [[cross, 0], [0, cross]]) {
    line(group, toX(0) - dx, toY(0) - dy, toX(0) + dx, toY(0) + dy, "#fff", { "stroke-opacity": 0.75 });
  }
  for (const c of shown) {
    const one = found.channels[c], um = field.pitch_um, x = toX(one.right_px * um), y = toY(-one.down_px * um);
    const stroke = shown.length > 1 ? ["#ff7a70", "#6fe08f", "#86adff"][c % 3] : "#fff";
    draw(group, "circle", { cx: x, cy: y, r: 3, stroke, "stroke-width": 1.2 });
    draw(group, "circle", { cx: x, cy: y, r: 0.5 * one.blur_px * um * scale, stroke, "stroke-opacity": 0.8, "stroke-dasharray": "4 4" });
  }
}

function drawMtf(panel, found, shown) {
  const { mtf, mtfSvg: svg, field } = panel, width = mtf.clientWidth, height = mtf.clientHeight;
  const left = 30, right = width - 8, top = 6, bottom = height - 34, nyquist = 500 / field.pitch_um;
  svg.replaceChildren();
  const toX = (per_mm) => left + ((right - left) * per_mm) / nyquist, toY = (contrast) => bottom - (bottom - top) * contrast;
  for (const contrast of [0, 0.25, 0.5, 0.75, 1]) {
    line(svg, left, toY(contrast), right, toY(contrast), contrast ? "var(--grid)" : "var(--soft)");
    label(svg, left - 6, toY(contrast) + 3.5, say(contrast), "end");
  }
  for (const per_mm of ticks(0, nyquist, width > 300 ? 6 : 4)) {
    line(svg, toX(per_mm), bottom, toX(per_mm), bottom + 4, "var(--soft)");
    label(svg, toX(per_mm), bottom + 16, say(per_mm));
  }
  label(svg, (left + right) / 2, bottom + 30, `cycles per mm on the sensor; the end is Nyquist, ${say(nyquist)}`);
  for (const c of shown) {
    const { sagittal, tangential } = found.channels[c].mtf;
    for (const [curve, dash] of [[sagittal, "none"], [tangential, "5 4"]]) {
      const points = Array.from(curve, (one, f) => `${toX((nyquist * f) / (curve.length - 1)).toFixed(1)},${toY(one).toFixed(1)}`);
      draw(svg, "polyline", { points: points.join(" "), fill: "none", stroke: panel.colours[c], "stroke-width": 1.7, "stroke-dasharray": dash });
    }
  }
  const said = shown.map((c) => `${found.channels[c].name} MTF50 ${say(found.channels[c].mtf50_per_mm[0])} sagittal, ${say(found.channels[c].mtf50_per_mm[1])} tangential`);
  mtf.setAttribute("aria-label", `Contrast against frequency; cycles per mm: ${said.join("; ")}`);
}

/** Where the sensor's picture lies in its box, and maps between places and the box. */
function sensorFrame(element, field) {
  const left = 36, top = 6, width = element.clientWidth - left - 8, scale = width / field.W;
  const height = field.H * scale;
  return {
    left, top, width, height, scale,
    toX: (x_px) => left + (x_px + 0.5) * scale, toY: (y_px) => top + (y_px + 0.5) * scale,
    fromX: (x) => (x - left) / scale - 0.5, fromY: (y) => (y - top) / scale - 0.5,
  };
}

/** Columns and rows of kernels shown on a sensor of this size on the page. */
function mapGrid(field, width) {
  const columns = width > 340 ? 9 : 7;
  return { columns, rows: Math.max(3, Math.round((columns * field.H) / field.W)) };
}

/** Axes in mm, circles of image height and the point. */
function drawSensor(element, field, x_px, y_px) {
  const frame = sensorFrame(element, field), { left, top, width, height, scale, toX, toY } = frame;
  element.style.aspectRatio = "auto";
  element.style.height = `${height + top + 34}px`;
  const canvas = element.querySelector("canvas"), svg = element.querySelector("svg");
  Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  svg.replaceChildren();
  const mm = field.pitch_um / 1000, half_w = (field.W * mm) / 2, half_h = (field.H * mm) / 2;
  const cx = left + width / 2, cy = top + height / 2, per_mm = scale / mm, { rows } = mapGrid(field, width);
  for (const one of ticks(-half_w, half_w, 6)) {
    line(svg, cx + one * per_mm, top + height, cx + one * per_mm, top + height + 4, "var(--soft)");
    label(svg, cx + one * per_mm, top + height + 16, say(one));
  }
  for (const one of ticks(-half_h, half_h, 4)) {
    line(svg, left - 4, cy - one * per_mm, left, cy - one * per_mm, "var(--soft)");
    label(svg, left - 6, cy - one * per_mm + 3.5, say(one), "end");
  }
  label(svg, cx, top + height + 30, "mm from the centre");
  const group = within(svg, left, top, width, height);
  for (const radius of [0.25, 0.5, 0.75, 1]) {
    const r = radius * field.halfDiagonal_px * scale;
    draw(group, "circle", { cx, cy, r, stroke: "#fff", "stroke-opacity": 0.28, "stroke-dasharray": "2 4" });
    // Between two rows of kernels.
    const below = rows % 2 ? height / (2 * rows) : 0, x = cx + Math.sqrt(Math.max(r * r - below * below, 0)) + 3;
    if (x + 26 < left + width) label(group, x, cy + below + 4, say(radius), "start", { fill: "#fff", "fill-opacity": 0.6 });
  }
  const x = toX(x_px), y = toY(y_px), point = draw(svg, "g", { fill: "none", id: "point" });
  line(point, cx, cy, x, y, "#fff", { "stroke-opacity": 0.45 });
  draw(point, "circle", { cx: x, cy: y, r: 9, stroke: "#000", "stroke-opacity": 0.6, "stroke-width": 4 });
  draw(point, "circle", { cx: x, cy: y, r: 9, stroke: "#fff", "stroke-width": 2 });
  draw(point, "circle", { cx: x, cy: y, r: 1.8, fill: "#fff" });
  return frame;
}

/** Blur diameter against depth at one image height: a line per channel, the second field dashed. */
function drawDepthChart(element, fields, radii, view) {
  const svg = element.querySelector("svg"), width = element.clientWidth, height = element.clientHeight;
  // The slider's thumb travels between half its width from either end.
  const left = 36, right = width - 8, top = 8, bottom = height - 38, { low, high } = view;
  svg.replaceChildren();
  const toX = (dioptres) => left + ((right - left) * (dioptres - low)) / (high - low || 1);
  const most_um = Math.max(...fields.map((field) => view.greatest_um.get(field)));
  const toY = (um) => bottom - ((bottom - top) * um) / most_um;
  for (const um of ticks(0, most_um, 3)) {
    line(svg, left, toY(um), right, toY(um), um ? "var(--grid)" : "var(--soft)");
    label(svg, left - 6, toY(um) + 3.5, say(um), "end");
  }
  label(svg, left + 4, top + 4, "blur diameter, µm", "start");
  for (const dioptres of ticks(low, high, width > 300 ? 6 : 4)) {
    if (toX(dioptres) > right + 1) continue;
    line(svg, toX(dioptres), bottom, toX(dioptres), bottom + 4, "var(--soft)");
    label(svg, toX(dioptres), bottom + 16, say(dioptres));
    label(svg, toX(dioptres), bottom + 30, dioptres <= 0 ? "∞" : `${say(1 / dioptres, 2)} m`, "middle", { fill: "var(--ink)" });
  }
  label(svg, 0, bottom + 16, "dpt", "start");
  fields.forEach((field, place) => {
    field.places.forEach((one) => line(svg, toX(-one), bottom, toX(-one), bottom - (place ? 3 : 4), "var(--soft)", { "stroke-opacity": 0.6 }));
    const colours = channelColours(field.meta.channels);
    const shown = view.channel >= 0 ? [Math.min(view.channel, field.C - 1)] : colours.map((_, c) => c);
    for (const c of shown) {
      const points = [];
      for (let i = 0; i <= 160; i++) {
        const dioptres = low + ((high - low) * i) / 160, um = field.pitch_um * blurFromMoments(field, radii[place], dioptres, c);
        points.push(`${toX(dioptres).toFixed(1)},${Math.max(toY(um), top).toFixed(1)}`);
      }
      draw(svg, "polyline", { points: points.join(" "), fill: "none", stroke: colours[c], "stroke-width": 1.5, "stroke-dasharray": place ? "5 4" : "none" });
    }
    const focus = field.meta.focus_m === null ? 0 : 1 / field.meta.focus_m;
    if (focus >= low && focus <= high) {
      draw(svg, "path", { d: `M${toX(focus)},${bottom} l4,7 h-8 z`, fill: "var(--accent)" });
    }
  });
  line(svg, toX(view.dioptres), top, toX(view.dioptres), bottom, "var(--ink)", { "stroke-width": 1.3 });
  return { left, right, fromX: (x) => clamp(low + ((x - left) / (right - left)) * (high - low), low, high) };
}
