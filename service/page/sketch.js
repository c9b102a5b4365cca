/** A pad to draw a digit on, made like MNIST's: 20 pixels tall, its weight in the middle of 28. */

import { h } from "./dom.js";
import { encoded } from "./pixels.js";

const PAD = 280;
const BRUSH = 22;
const SIDE = 28;
const BOX = 20;

/** A pad; `drawn` gets a PNG's blob after each stroke. */
export function sketchPad(drawn) {
  const canvas = h("canvas", { width: PAD, height: PAD, className: "pad", role: "img",
    "aria-label": "Drawing pad: draw a digit with the pointer" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const clear = () => { context.fillStyle = "#000"; context.fillRect(0, 0, PAD, PAD); };
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * PAD / box.width, (event.clientY - box.top) * PAD / box.height];
  };
  const stroke = (event) => {
    const here = place(event);
    Object.assign(context, { strokeStyle: "#fff", lineWidth: BRUSH, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...here);
    context.stroke();
    last = here;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => { if (last) stroke(event); });
  const end = async () => {
    if (!last) return;
    last = null;
    drawn(await encoded(asDigit(context)));
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  clear();
  return h("div", { className: "sketch" }, canvas,
    h("p", { className: "quiet", textContent: "Draw a digit. It is centred as MNIST's are." }),
    h("button", { type: "button", textContent: "Clear", onclick: clear }));
}

function asDigit(context) {
  const { data } = context.getImageData(0, 0, PAD, PAD);
  let [left, top, right, bottom, weight, x, y] = [PAD, PAD, -1, -1, 0, 0, 0];
  for (let row = 0; row < PAD; row++) {
    for (let column = 0; column < PAD; column++) {
      const ink = data[4 * (row * PAD + column)];
      if (!ink) continue;
      left = Math.min(left, column); right = Math.max(right, column);
      top = Math.min(top, row); bottom = Math.max(bottom, row);
      weight += ink; x += ink * (column + 0.5); y += ink * (row + 0.5);
    }
  }
  const digit = h("canvas", { width: SIDE, height: SIDE });
  const target = digit.getContext("2d");
  target.fillRect(0, 0, SIDE, SIDE);
  if (!weight) return digit;
  const scale = BOX / Math.max(right - left + 1, bottom - top + 1);
  // Halved until near: one large step would skip pixels, and the strokes would be ragged.
  let source = context.canvas;
  let steps = 1;
  while (scale * steps < 0.5) {
    const half = h("canvas", { width: source.width / 2, height: source.height / 2 });
    half.getContext("2d").drawImage(source, 0, 0, half.width, half.height);
    source = half;
    steps *= 2;
  }
  const size = scale * steps;
  target.imageSmoothingQuality = "high";
  target.drawImage(source, SIDE / 2 - scale * x / weight, SIDE / 2 - scale * y / weight,
    source.width * size, source.height * size);
  return digit;
}
