/** Sample: a hundred images that nobody sent. */

import * as api from "./api.js";
import { choice, field, h, modelMenu, slider } from "./dom.js";
import { latest } from "./latest.js";
import { bytes, drawEncoded } from "./pixels.js";
import { sampling } from "./requests.js";

const SIDE = 10;
const PRIORS = { mixture: "Fitted mixture", standard: "Prior" };

export function sample({ catalog, say, panel, remember, go }) {
  const names = catalog.able("sample");
  let model = names.find((name) => catalog.get(name).priors.length > 1) ?? names[0] ?? "";
  let prior = "mixture";
  let seed = 1;
  let temperature = 1;
  let images = [];

  const menu = modelMenu("Model", names, model, (value) => { model = value; offer(); update(); });
  const priors = choice("Drawn from", Object.entries(PRIORS), prior, (value) => { prior = value; update(); });
  const number = h("input", { type: "number", min: 0, max: 999999, step: 1, value: seed,
    oninput: () => { seed = Math.max(0, Math.floor(number.valueAsNumber) || 0); update(); } });
  const warmth = slider("Temperature", { min: 0, max: 2, step: 0.05, value: temperature, say: (value) => value.toFixed(2),
    change: (value) => { temperature = value; update(); } });
  const cells = Array.from({ length: SIDE ** 2 }, (_, place) => h("button", { type: "button", className: "cell",
    tabIndex: place ? -1 : 0, "aria-label": `Sample ${place + 1}: open it in the latent space`, onclick: () => enter(place) },
  h("canvas", { width: 28, height: 28 })));
  const grid = h("div", { className: "grid", role: "group", "aria-label": "Samples", onkeydown: walk }, cells);
  const element = h("section", { "aria-label": "Sample" }, h("h1", { textContent: "Images that nobody sent" }),
    h("div", { className: "controls" }, field("Model", menu), priors.element, warmth.element,
      field("Seed", number),
      h("button", { type: "button", textContent: "New seed", onclick: () => {
        number.value = seed = Math.floor(Math.random() * 10000);
        update();
      } })),
    grid, h("p", { className: "quiet", textContent: "Each opens in the latent space, where its own encoding puts it." }));

  /** One of the hundred is reached by Tab, the others by the arrow keys. */
  function walk(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SIDE, ArrowDown: SIDE }[event.key];
    const to = cells.indexOf(document.activeElement) + step;
    if (!cells[to]) return;
    event.preventDefault();
    for (const cell of cells) cell.tabIndex = -1;
    cells[to].tabIndex = 0;
    cells[to].focus();
  }

  async function enter(place) {
    if (!images[place]) return;
    if (!catalog.get(model).map) {
      say(`${model} has no map to open it in.`);
      return;
    }
    try {
      const blob = new Blob([bytes(images[place])], { type: "image/png" });
      const { latents } = await api.send("encode", { model }, blob);
      const at = latents[0].flat(Infinity).map((value) => value.toFixed(3)).join(",");
      go("latent", { model, at });
    } catch (error) {
      say(error.message);
    }
  }

  function offer() {
    const able = catalog.get(model)?.priors ?? [];
    if (!able.includes(prior)) prior = able[0];
    priors.offer(able);
    priors.set(prior);
  }

  function update() {
    if (!model) return;
    const options = { model, count: SIDE ** 2, seed, temperature, prior };
    remember({ model, seed, temperature, prior });
    panel.show(sampling(options));
    ask(options);
  }

  const ask = latest(async (options) => {
    try {
      ({ images } = await api.sample(options));
      await Promise.all(images.map((image, i) => drawEncoded(cells[i].firstChild, image)));
      element.dataset.answered = String(1 + Number(element.dataset.answered ?? 0));
      say("");
    } catch (error) {
      say(error.message);
    }
  });

  function open(parameters) {
    if (!names.length) {
      say("No model that is loaded can sample.");
      return;
    }
    if (names.includes(parameters.get("model"))) model = parameters.get("model");
    if (parameters.get("prior") in PRIORS) prior = parameters.get("prior");
    if (parameters.get("seed")) number.value = seed = Number(parameters.get("seed")) || 0;
    if (parameters.get("temperature")) temperature = Number(parameters.get("temperature")) || 0;
    menu.value = model;
    warmth.set(temperature);
    offer();
    update();
  }

  return { element, open };
}
