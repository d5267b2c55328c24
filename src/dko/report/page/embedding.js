"use strict";
/* Cells on an embedding: coloured by group or by the impact of a knockout, and described where one points. */
const data = JSON.parse(document.getElementById("data").textContent);
const [canvas, choice, key, tip] = ["cells", "choice", "key", "tip"].map((id) => document.getElementById(id));
const paint = canvas.getContext("2d");
const GREY = "#d3d3d3", MARGIN = 14, NEAR = 8;
const size = Math.min(5, Math.max(1.3, 130 / Math.sqrt(data.x.length)));
let view, start, now = -1, alone = null, colors = [], order = [];

const element = (tag, textContent, className = "") => Object.assign(document.createElement(tag), { textContent, className });
const values = () => data.values[choice.value];
const fixed = (value) => value.toPrecision(3);
const place = (i) => [
  view.x + view.zoom * (MARGIN + data.x[i] * (canvas.clientWidth - 2 * MARGIN)),
  view.y + view.zoom * (MARGIN + (1 - data.y[i]) * (canvas.clientHeight - 2 * MARGIN)),
];
const shown = (i) => alone === null || data.group[i] === alone;

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = ratio * canvas.clientWidth;
  canvas.height = ratio * canvas.clientHeight;
  paint.scale(ratio, ratio);
  const radius = size * Math.sqrt(view.zoom);
  for (const i of order) {
    if (!shown(i)) continue;
    paint.fillStyle = colors[i];
    paint.beginPath();
    paint.arc(...place(i), radius, 0, 2 * Math.PI);
    paint.fill();
  }
}

function whole() {
  view = { zoom: 1, x: 0, y: 0 };
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const to = Math.min(60, Math.max(1, view.zoom * factor)), by = to / view.zoom;
  view = { zoom: to, x: x - by * (x - view.x), y: y - by * (y - view.y) };
}

/* Colours and what they mean; cells without an impact lie beneath the others, those with the largest on top. */
function recolor() {
  const impacts = values();
  order = data.x.map((_, i) => i);
  key.replaceChildren();
  if (impacts === undefined) {
    colors = data.group.map((group) => data.colors[group] ?? GREY);
    data.groups.forEach((name, group) => {
      const button = element("button", `${name} (${data.group.filter((one) => one === group).length})`, "group");
      button.style.setProperty("--color", data.colors[group]);
      button.setAttribute("aria-pressed", String(alone === group));
      button.addEventListener("click", () => {
        alone = alone === group ? null : group;
        recolor();
        key.querySelectorAll("button")[group].focus();
      });
      key.append(button);
    });
  } else {
    const last = data.map.length - 1;
    const step = (value) => Math.min(last, Math.round((last * value) / data.most));
    colors = impacts.map((value) => (value === null ? GREY : data.map[step(value)]));
    order.sort((a, b) => (impacts[a] ?? -1) - (impacts[b] ?? -1));
    const bar = element("div", "", "bar");
    bar.style.background = `linear-gradient(90deg, ${data.map.join()})`;
    key.append(element("div", data.what), bar, element("div", `0 to ${fixed(data.most)} or more; grey: ${data.grey}`));
  }
  draw();
}

/* Of the cell that is nearest to the pointer, if any is near. */
function point(event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let best = -1, least = NEAR + size * Math.sqrt(view.zoom);
  for (const i of order) {
    const [a, b] = place(i), distance = Math.hypot(a - x, b - y);
    if (shown(i) && distance <= least) [best, least] = [i, distance];
  }
  describe(best, x, y);
}

function describe(cell, x, y) {
  now = cell;
  tip.hidden = cell < 0;
  if (cell < 0) return;
  tip.replaceChildren(element("strong", data.name[cell]));
  if (data.groups.length) tip.append(element("div", data.groups[data.group[cell]] ?? "no group"));
  data.labels.forEach((label, number) => {
    const value = data.values[number][cell], line = element("div", `${label}: ${value === null ? data.grey : fixed(value)}`);
    if (choice.value !== String(number)) tip.append(line);
    else tip.children[0].after(Object.assign(line, { className: "now" }));
  });
  tip.style.left = `${Math.max(0, Math.min(x + 12, canvas.clientWidth - tip.offsetWidth))}px`;
  tip.style.top = `${y + 16}px`;
}

/* To the next cell in the picture, with a ring around it. */
function step(by) {
  const there = order.filter((i) => {
    const [x, y] = place(i);
    return shown(i) && x >= 0 && y >= 0 && x <= canvas.clientWidth && y <= canvas.clientHeight;
  });
  if (!there.length) return;
  const at = there.indexOf(now);
  const cell = there.at(at < 0 ? -1 : (at + by) % there.length), [x, y] = place(cell);
  draw();
  paint.beginPath();
  paint.arc(x, y, NEAR + size, 0, 2 * Math.PI);
  paint.stroke();
  describe(cell, x, y);
}

if (data.groups.length) choice.append(new Option(data.groupby, "group"));
data.labels.forEach((label, number) => choice.append(new Option(`impact of ${label}`, number)));
choice.addEventListener("change", recolor);
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => {
    if (Number(button.dataset.zoom)) zoom(Number(button.dataset.zoom));
    else whole();
    draw();
  });
}
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  draw();
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  start = { x: event.clientX - view.x, y: event.clientY - view.y };
  canvas.setPointerCapture(event.pointerId);
  point(event);
});
canvas.addEventListener("pointerup", () => (start = undefined));
canvas.addEventListener("pointerleave", (event) => {
  if (event.pointerType === "mouse") tip.hidden = true; // a finger leaves as soon as it is lifted
});
canvas.addEventListener("pointermove", (event) => {
  if (start === undefined) return point(event);
  tip.hidden = true;
  Object.assign(view, { x: event.clientX - start.x, y: event.clientY - start.y });
  draw();
});
canvas.addEventListener("keydown", (event) => {
  const by = { ArrowRight: -1, ArrowDown: -1, ArrowLeft: 1, ArrowUp: 1 }[event.key];
  if (event.key === "Escape") tip.hidden = true;
  if (by === undefined) return;
  event.preventDefault();
  step(by);
});
canvas.addEventListener("blur", () => {
  tip.hidden = true;
  draw();
});
window.addEventListener("resize", draw);
whole();
recolor();
