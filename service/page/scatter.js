/** Points on a canvas, on a plane or in space; the pointer, the fingers and the arrow keys move. */

import { h } from "./dom.js";

const MARGIN = 0.06;
const REACH = 14;
const STEP = 0.02;
const TURN = 0.08;

/** A scatter plot. `hover({place, point})` and `pick` get where the pointer or the cursor is. */
export function scatter({ label, hover, pick }) {
  const canvas = h("canvas", { className: "map", tabIndex: 0, role: "application", "aria-label": label });
  const context = canvas.getContext("2d");
  let data = null;
  let turn = { yaw: 0.6, pitch: 0.35 };
  let cursor = null;
  let marks = [];
  let path = [];
  let shown = null;
  let drag = null;
  let waiting = false;
  // The points change seldom and take as long to paint as ten decoded images: they are kept.
  let points = null;

  /** Draws before the next frame, once however often it is asked for. */
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; paint(); });
  }

  /** The same with all points painted anew. */
  function redraw() {
    points = null;
    draw();
  }

  const side = () => canvas.clientWidth || 1;

  /** A place of the map on the canvas: `[x, y, depth]`, in CSS pixels. */
  function project(place) {
    const { middle, reach, axes } = data;
    let [x, y, z] = Array.from({ length: 3 }, (_, i) => i < axes ? (place[i] - middle[i]) / reach : 0);
    if (axes === 3) {
      [x, z] = [x * Math.cos(turn.yaw) + z * Math.sin(turn.yaw), z * Math.cos(turn.yaw) - x * Math.sin(turn.yaw)];
      [y, z] = [y * Math.cos(turn.pitch) - z * Math.sin(turn.pitch), z * Math.cos(turn.pitch) + y * Math.sin(turn.pitch)];
    }
    const scale = side() * (0.5 - MARGIN);
    return [side() / 2 + x * scale, side() / 2 - y * scale, z];
  }

  /** The place on the plane that a point of the canvas shows. */
  function placeAt([x, y]) {
    const scale = side() * (0.5 - MARGIN);
    return [data.middle[0] + (x - side() / 2) / scale * data.reach, data.middle[1] - (y - side() / 2) / scale * data.reach];
  }

  function nearest([x, y]) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < data.count; i++) {
      if (data.hidden.has(data.labels[i])) continue;
      const [px, py, depth] = project(data.places.subarray(i * data.axes, (i + 1) * data.axes));
      // Of points that lie on one another the one in front.
      const distance = Math.hypot(px - x, py - y) - (data.axes === 3 ? depth : 0);
      if (distance < least) [best, least] = [i, distance];
    }
    return least < REACH || data.axes === 3 ? best : -1;
  }

  function tell(callback) {
    if (!data || !cursor) return;
    const point = nearest(cursor);
    if (data.axes === 3 && point < 0) return;
    callback({ point, place: data.axes === 2 ? placeAt(cursor) : null });
  }

  function paint() {
    const ratio = devicePixelRatio || 1;
    const size = Math.round(side() * ratio);
    if (canvas.width !== size) canvas.width = canvas.height = size;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, size, size);
    if (!data) return;
    if (points?.width !== size) points = painted(size, ratio);
    context.drawImage(points, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    trail();
  }

  /** A canvas of its own with the points and the names of their classes. */
  function painted(size, ratio) {
    const ground = new OffscreenCanvas(size, size);
    const context = ground.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const spots = [];
    for (let i = 0; i < data.count; i++) {
      if (!data.hidden.has(data.labels[i])) {
        spots.push([...project(data.places.subarray(i * data.axes, (i + 1) * data.axes)), data.labels[i]]);
      }
    }
    if (data.axes === 3) spots.sort((a, b) => a[2] - b[2]);
    for (const [x, y, depth, label] of spots) {
      context.globalAlpha = data.axes === 3 ? 0.55 + 0.35 * Math.max(-1, Math.min(1, depth)) : 0.8;
      context.fillStyle = data.colours[label];
      context.beginPath();
      context.arc(x, y, data.axes === 3 ? 2.6 + depth : 2.6, 0, 7);
      context.fill();
    }
    context.globalAlpha = 1;
    names(context, spots);
    return ground;
  }

  /** Each class's name in the middle of its points: colour is not all that tells them apart. */
  function names(context, spots) {
    const style = getComputedStyle(canvas);
    Object.assign(context, { font: "600 15px system-ui, sans-serif", textAlign: "center",
      textBaseline: "middle", lineWidth: 4, strokeStyle: style.backgroundColor, fillStyle: style.color, lineJoin: "round" });
    data.classes.forEach((name, label) => {
      const mine = spots.filter((spot) => spot[3] === label);
      if (!mine.length) return;
      const middle = [0, 1].map((axis) => mine.map((spot) => spot[axis]).sort((a, b) => a - b)[mine.length >> 1]);
      context.strokeText(name, ...middle);
      context.fillText(name, ...middle);
    });
  }

  function trail() {
    const { color } = getComputedStyle(canvas);
    context.strokeStyle = context.fillStyle = color;
    Object.assign(context, { lineWidth: 1.5, textAlign: "center", textBaseline: "middle" });
    if (path.length) {
      context.setLineDash([4, 4]);
      context.beginPath();
      path.forEach((place, i) => context[i ? "lineTo" : "moveTo"](...project(place).slice(0, 2)));
      context.stroke();
      context.setLineDash([]);
    }
    for (const { place, text } of marks) {
      const [x, y] = project(place);
      context.beginPath();
      context.arc(x, y, 11, 0, 7);
      context.fill();
      context.save();
      context.fillStyle = getComputedStyle(canvas).backgroundColor;
      context.font = "700 12px system-ui, sans-serif";
      context.fillText(text, x, y + 0.5);
      context.restore();
    }
    if (shown) ring(project(shown), 8);
    if (cursor && document.activeElement === canvas && !drag) ring(cursor, 5);
  }

  function ring([x, y], radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.stroke();
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (drag && data?.axes === 3) {
      turn = { yaw: turn.yaw + (here[0] - cursor[0]) / 140, pitch: Math.max(-1.5, Math.min(1.5, turn.pitch + (here[1] - cursor[1]) / 140)) };
      drag.moved += Math.hypot(here[0] - cursor[0], here[1] - cursor[1]);
      points = null;
    }
    cursor = here;
    if (!drag || data?.axes === 2) tell(hover);
    draw();
  });
  canvas.addEventListener("pointerdown", (event) => {
    cursor = at(event);
    drag = { moved: 0 };
    canvas.setPointerCapture(event.pointerId);
    tell(hover);
  });
  canvas.addEventListener("pointerup", (event) => {
    cursor = at(event);
    const clicked = drag && drag.moved < 6;
    drag = null;
    if (clicked) tell(pick);
    draw();
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("keydown", (event) => {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    cursor ??= [side() / 2, side() / 2];
    if (event.key in arrows && data) {
      const [x, y] = arrows[event.key];
      if (data.axes === 3) [turn, points] = [{ yaw: turn.yaw + x * TURN, pitch: turn.pitch + y * TURN }, null];
      else cursor = cursor.map((value, i) => Math.max(0, Math.min(side(), value + [x, y][i] * side() * STEP * (event.shiftKey ? 4 : 1))));
      tell(hover);
    } else if (event.key === "Enter" || event.key === " ") tell(pick);
    else return;
    event.preventDefault();
    draw();
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  return {
    element: canvas,
    /** `{places, axes, labels, classes, colours, hidden}`; places are `[count * axes]`. */
    show(given) {
      const { places, axes } = given;
      const low = Array(axes).fill(Infinity);
      const high = Array(axes).fill(-Infinity);
      places.forEach((value, i) => {
        low[i % axes] = Math.min(low[i % axes], value);
        high[i % axes] = Math.max(high[i % axes], value);
      });
      const reach = Math.max(...low.map((value, i) => high[i] - value)) / 2 || 1;
      data = { ...given, count: given.labels.length, middle: low.map((value, i) => (value + high[i]) / 2), reach };
      redraw();
    },
    mark(given, along) { [marks, path] = [given, along]; draw(); },
    point(place) { shown = place; draw(); },
    redraw,
  };
}
