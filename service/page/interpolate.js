/** Interpolate: two pictures, and the images between their latents. */

import * as api from "./api.js";
import { choice, field, h, modelMenu } from "./dom.js";
import { figure } from "./figure.js";
import { latest } from "./latest.js";
import { drawEncoded, drawRaw } from "./pixels.js";
import { picker } from "./picker.js";
import { fromId, fromShipped, shippedLike } from "./pictures.js";
import { player } from "./player.js";
import { walking } from "./requests.js";

const STEPS = 41;
const SHOWN = 9;
const FIRST = ["mnist-3", "mnist-8"];
const SETS = ["mnist", "mnist-colour"];

export function interpolate({ catalog, say, panel, remember }) {
  const names = catalog.able("interpolate");
  let model = "";
  let path = "linear";
  const pictures = [null, null];

  const ends = ["From", "To"].map((name) => figure(name, `${name}: the picture`));
  const middle = figure("Between", "The frame between the two pictures");
  const strip = h("div", { className: "film", role: "img", "aria-label": "Frames from the first picture to the second" },
    Array.from({ length: SHOWN }, () => h("canvas", { width: 28, height: 28 })));
  const menu = modelMenu("Model", names, model, (value) => { model = value; update(); });
  const paths = choice("Path", [["linear", "Linear"], ["spherical", "Spherical"]], path, (value) => { path = value; update(); });
  const play = player({ canvas: middle.canvas, say, gif: () => api.interpolate(options(), pictures.map((one) => one.blob), "image/gif") });
  const pickers = ends.map((_, end) => picker({ label: end ? "To" : "From", sets: SETS, say, picked: (given) => take(end, given) }));
  const element = h("section", { "aria-label": "Interpolate" }, h("h1", { textContent: "From one picture to another" }),
    h("div", { className: "controls" }, field("Model", menu), paths.element),
    h("div", { className: "figures three" }, ends[0].element, middle.element, ends[1].element),
    play.element, strip,
    h("div", { className: "pickers" }, pickers.map((one, i) => h("div", {}, h("h2", { textContent: ["From", "To"][i] }), one.element))));

  function take(end, given) {
    if (!given) return;
    pictures[end] = given;
    pickers[end].show(given.id);
    drawEncoded(ends[end].canvas, given.blob);
    if (!catalog.isSuited(model, given)) {
      model = catalog.suited("interpolate", given)[0];
      menu.value = model;
    }
    update();
  }

  const options = () => ({ model, steps: STEPS, path,
    fit: pictures.every((one) => catalog.fits(model, one)) ? undefined : "resize" });

  function update() {
    if (!pictures.every(Boolean) || !model) return;
    remember({ from: pictures[0].id, to: pictures[1].id, model, path });
    panel.show(walking(pictures, options()));
    ask(options(), pictures.map((one) => one.blob));
  }

  const ask = latest(async (asked, blobs) => {
    try {
      const frames = await api.interpolate(asked, blobs);
      [...strip.children].forEach((canvas, i) => drawRaw(canvas, frames, Math.round(i * (STEPS - 1) / (SHOWN - 1))));
      play.load(frames);
      element.dataset.answered = String(1 + Number(element.dataset.answered ?? 0));
      say("");
    } catch (error) {
      say(error.message);
    }
  });

  async function open(parameters) {
    if (!names.length) {
      say("No model that is loaded can interpolate.");
      return;
    }
    const asked = parameters.get("model");
    if (parameters.get("path") === "spherical") path = "spherical";
    paths.set(path);
    const first = !pictures[0];
    const linked = parameters.has("from") || !names.includes(asked) ? [] : await shippedLike(catalog.get(asked).dataset);
    const given = await Promise.all(["from", "to"].map(async (key, end) =>
      await fromId(parameters.get(key) ?? linked[3 + 5 * end] ?? "") ?? pictures[end] ?? fromShipped(FIRST[end])));
    if (names.includes(asked)) model = asked;
    else if (!model) model = catalog.suited("interpolate", given[0])[0];
    menu.value = model;
    if (first) play.start((STEPS - 1) / 2);
    given.forEach((one, end) => take(end, one));
  }

  return { element, open, take: (file, target) => pickers[pickers[1].element.contains(target) ? 1 : 0].take(file), leave: () => play.pause() };
}
