/** A picture with its name and numbers, and one that is wiped between before and after. */

import { h } from "./dom.js";

const SHOWN = [
  ["psnr", "PSNR", (value) => `${value.toFixed(2)} dB`],
  ["ssim", "SSIM", (value) => value.toFixed(4)],
  ["mse", "MSE", (value) => value.toFixed(5)],
  ["snr", "SNR", (value) => `${value.toFixed(2)} dB`],
];

/** MSE, PSNR, SSIM and SNR of one image, as the service measured them. */
export function numbers(scores) {
  return h("dl", { className: "numbers" }, SHOWN.flatMap(([key, name, say]) => [
    h("dt", { textContent: name }),
    h("dd", { textContent: scores[key] === null ? "–" : say(scores[key]), "data-score": key }),
  ]));
}

/** A figure with a canvas and room for numbers under it. */
export function figure(title, alt) {
  const canvas = h("canvas", { role: "img", "aria-label": alt, width: 28, height: 28 });
  const below = h("div", { className: "below" });
  const head = h("figcaption", {}, typeof title === "string" ? h("span", { textContent: title }) : title);
  const element = h("figure", {}, head, h("div", { className: "frame" }, canvas), below);
  return { element, canvas, below };
}

/** A figure of two canvases: `--wipe` on an element around it says how much of `before` is seen. */
export function wiped(title, alt, moved) {
  const made = figure(title, alt);
  const before = h("canvas", { className: "before", "aria-hidden": "true", width: 28, height: 28 });
  const frame = made.canvas.parentElement;
  frame.classList.add("wiped");
  frame.append(before, h("span", { className: "divider", "aria-hidden": "true" }));
  const move = (event) => {
    const box = frame.getBoundingClientRect();
    moved(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  };
  frame.addEventListener("pointerdown", (event) => { frame.setPointerCapture(event.pointerId); move(event); });
  frame.addEventListener("pointermove", (event) => { if (event.buttons) move(event); });
  return { ...made, before };
}
