/** Where a picture comes from: the shipped ones, a drawing, a file. */

import { h } from "./dom.js";
import { fromDrawing, fromFile, fromShipped, shipped, shippedUrl } from "./pictures.js";
import { sketchPad } from "./sketch.js";

const SETS = { mnist: "Digits", "mnist-colour": "Coloured digits", cifar10: "Photographs" };

/**
 * A picker; `picked` gets each picture, `say` what is wrong with a file. `sets` says which of the
 * shipped ones are on offer.
 */
export function picker({ label, picked, say, sets = Object.keys(SETS) }) {
  const strip = h("div", { className: "strip", role: "group", "aria-label": `${label}: test images` });
  const buttons = new Map();
  shipped.then((images) => {
    for (const set of sets) {
      const mine = images.filter((one) => one.set === set);
      const group = h("div", { className: "set", role: "group", "aria-label": SETS[set] });
      group.style.setProperty("--columns", Math.ceil(mine.length / 2));
      for (const image of mine) {
        const button = h("button", { type: "button", className: "thumb", "aria-pressed": "false",
          title: image.label, onclick: async () => picked(await fromShipped(image.name)) },
        h("img", { src: shippedUrl(image.name), alt: `${image.label}, ${image.name}`, loading: "lazy",
          width: 40, height: 40 }));
        buttons.set(image.name, button);
        group.append(button);
      }
      strip.append(h("div", {}, h("span", { className: "quiet", textContent: SETS[set], "aria-hidden": "true" }), group));
    }
    mark();
  });
  let current = "";
  const mark = () => {
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", name === current);
    const chosen = buttons.get(current)?.getBoundingClientRect();
    const seen = strip.getBoundingClientRect();
    // Only sideways: scrollIntoView would move the page too.
    if (chosen && (chosen.left < seen.left || chosen.right > seen.right)) {
      strip.scrollLeft += chosen.left + chosen.width / 2 - seen.left - seen.width / 2;
    }
  };
  const take = async (file) => {
    try { picked(await fromFile(file)); } catch (error) { say(error.message); }
  };
  const input = h("input", { type: "file", accept: "image/*", className: "visually-hidden",
    tabIndex: -1, "aria-label": `${label}: a file`, onchange: () => { if (input.files[0]) take(input.files[0]); } });
  const pad = sketchPad(async (blob) => picked(await fromDrawing(blob)));
  pad.hidden = true;
  const draw = h("button", { type: "button", textContent: "Draw", "aria-expanded": "false", onclick: () => {
    pad.hidden = !pad.hidden;
    draw.setAttribute("aria-expanded", String(!pad.hidden));
  } });
  const element = h("div", { className: "picker" }, strip,
    h("div", { className: "row" }, draw,
      h("button", { type: "button", textContent: "Open a file…", onclick: () => input.click() }), input,
      h("span", { className: "quiet", textContent: "or drop or paste one here" })), pad);
  return { element, take, show(id) { current = id; mark(); } };
}
