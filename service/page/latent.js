/** Latent space: a map of test images; the pointer decodes, two clicks make a walk. */

import * as api from "./api.js";
import { colours } from "./colours.js";
import { choice, field, h, modelMenu } from "./dom.js";
import { figure } from "./figure.js";
import { LatentMap, between } from "./latent_map.js";
import { latest } from "./latest.js";
import { drawRaw } from "./pixels.js";
import { mayMove, player } from "./player.js";
import { decoding } from "./requests.js";
import { scatter } from "./scatter.js";

const STEPS = 41;
const LAYOUTS = { plane: "The plane", tsne: "t-SNE", pca: "PCA" };
const MEANS = {
  plane: "The model has two latents: this is all of its latent space.",
  tsne: "t-SNE keeps neighbours together; distances between groups mean little. Between the points, the latents of the six nearest are mixed.",
  pca: "The widest directions of the latents. Within the plane a point is decoded exactly, with all other directions at their mean.",
};

const SPACE = "Drag, or use the arrow keys, to turn it. The point nearest to the pointer is decoded.";

export function latent({ catalog, say, panel, remember }) {
  const names = [...catalog.models.values()].filter((model) => model.map).map((model) => model.name);
  let model = names.find((name) => catalog.get(name).priors.includes("standard")) ?? names[0];
  let map = null;
  let layout = "tsne";
  let axes = 2;
  let path = "linear";
  let ends = [];
  let walk = [];
  let here = null;
  const hidden = new Set();

  const view = figure("Decoded", "The image decoded from the place on the map");
  const menu = modelMenu("Model", names, model, (value) => { model = value; ends = []; here = null; load(); });
  const plot = scatter({ label: "Map of the latents of test images. Move with the arrow keys to decode; Enter sets the ends of a walk.",
    hover: (at) => decode(at), pick: choose });
  const layouts = choice("Layout", Object.entries(LAYOUTS), layout, (value) => { layout = value; arrange(); });
  const dimensions = choice("Dimensions", [["2", "2-D"], ["3", "3-D"]], "2", (value) => { axes = Number(value); arrange(); });
  const paths = choice("Walk", [["linear", "Linear"], ["spherical", "Spherical"]], path,
    (value) => { path = value; walkOn(); });
  const legend = h("div", { className: "legend", role: "group", "aria-label": "Classes shown" });
  const meaning = h("p", { className: "quiet" });
  const hint = h("p", { className: "quiet hint" });
  const rate = h("span", { className: "quiet rate" });
  const play = player({ canvas: view.canvas, say, gif: () => api.decode(model, walk.flatMap((row) => [...row]), shape(walk.length), "image/gif"),
    moved: (frame) => { if (walk[frame]) plot.point(map.placeOf(layout, axes, walk[frame])); } });
  view.below.append(rate);
  const element = h("section", { "aria-label": "Latent space" },
    h("h1", { textContent: "Where the model puts its images" }),
    h("div", { className: "controls" }, field("Model", menu), layouts.element, dimensions.element, paths.element),
    h("div", { className: "space" }, h("div", { className: "plot" }, plot.element, legend, meaning),
      h("div", { className: "side" }, view.element, hint, play.element)));

  /** `[count, ...the model's latent shape]`. */
  const shape = (count) => [count, ...catalog.get(model).latent_shape];
  const nested = (latents) => nest([...latents].map((value) => Number(value.toFixed(4))), catalog.get(model).latent_shape);

  const load = latest(async () => {
    try {
      map = new LatentMap(await api.get(`models/${model}/map`));
      hidden.clear();
      layouts.offer(map.layouts);
      if (!map.layouts.includes(layout)) layout = map.layouts[0];
      layouts.set(layout);
      arrange();
      await decodeLatents(here ?? map.latentsOf(0), false);
      walkOn();
      say("");
    } catch (error) {
      say(error.message);
    }
  });

  function arrange() {
    if (!map) return;
    if (!map.dimensions(layout).includes(axes)) axes = 2;
    dimensions.offer(map.dimensions(layout).map(String));
    dimensions.set(String(axes));
    const chosen = colours(map.classes.length);
    plot.show({ places: map.places(layout, axes), axes, labels: map.labels, classes: map.classes, colours: chosen, hidden });
    meaning.textContent = axes === 3 ? SPACE : MEANS[layout];
    legend.replaceChildren(...map.classes.map((name, label) => {
      const swatch = h("span", { className: "swatch" });
      swatch.style.setProperty("--swatch", chosen[label]);
      const button = h("button", { type: "button", "aria-pressed": String(!hidden.has(label)), onclick: () => {
        hidden[hidden.has(label) ? "delete" : "add"](label);
        button.setAttribute("aria-pressed", String(!hidden.has(label)));
        plot.redraw();
      } }, swatch, name);
      return button;
    }));
    trace();
    note();
  }

  const latentsOf = ({ point, place }) => (place ? map.latentsAt(layout, place) : map.latentsOf(point));

  function decode(at) {
    play.pause();
    decodeLatents(latentsOf(at), true);
  }

  let started = performance.now();
  let count = 0;
  const decodeLatents = latest(async (latents, counted) => {
    try {
      const frames = await api.decode(model, latents, shape(1));
      drawRaw(view.canvas, frames);
      here = latents;
      if (!counted) plot.point(map.placeOf(layout, axes, latents));
      const label = map.labels[map.nearest(latents)];
      view.canvas.setAttribute("aria-label", `Decoded image, among the ${map.classes[label]}`);
      panel.show(decoding(model, nested(latents)));
      element.dataset.decoded = String(1 + Number(element.dataset.decoded ?? 0));
      count += 1;
      const now = performance.now();
      if (now - started > 500) {
        if (count > 3) rate.textContent = `${Math.round(1000 * count / (now - started))} images a second`;
        [started, count] = [now, 0];
      }
      settle();
    } catch (error) {
      say(error.message);
    }
  });

  /** The link and the words follow when the pointer rests: 60 times a second is too much for them. */
  let timer = 0;
  function settle() {
    clearTimeout(timer);
    timer = setTimeout(note, 200);
  }

  function note() {
    if (!map) return;
    const list = (latents) => [...latents].map((value) => Number(value.toFixed(3))).join(",");
    remember({ model, layout, axes, path, at: here ? list(here) : "", from: ends[0] ? list(ends[0]) : "", to: ends[1] ? list(ends[1]) : "" });
  }

  function choose(at) {
    const latents = latentsOf(at);
    ends = ends.length === 1 ? [ends[0], latents] : [latents];
    walkOn(mayMove());
    note();
  }

  const walkOn = latest(async (start) => {
    try {
      walk = ends.length === 2 ? between(...ends, STEPS, path) : [];
      trace();
      hint.textContent = ["Click two places on the map to walk between them.", "Now click where the walk ends.", ""][ends.length];
      play.load(walk.length ? await api.decode(model, walk.flatMap((row) => [...row]), shape(STEPS)) : null);
      if (start && walk.length) play.play();
      note();
    } catch (error) {
      say(error.message);
    }
  });

  function trace() {
    if (!map) return;
    const place = (latents) => map.placeOf(layout, axes, latents);
    plot.mark(ends.map((end, i) => ({ place: place(end), text: "AB"[i] })), walk.map(place));
  }

  function open(parameters) {
    if (!names.length) {
      element.replaceChildren(h("h1", { textContent: "Latent space" }),
        h("p", { textContent: "No model that is loaded has a map of its latents: models with classes and up to 64 latents get one when they are published." }));
      return;
    }
    const asked = parameters.get("model");
    if (names.includes(asked)) model = asked;
    menu.value = model;
    if (parameters.get("layout") in LAYOUTS) layout = parameters.get("layout");
    if (["2", "3"].includes(parameters.get("axes"))) axes = Number(parameters.get("axes"));
    if (parameters.get("path")) path = parameters.get("path") === "spherical" ? "spherical" : "linear";
    paths.set(path);
    const size = shape(1).reduce((a, b) => a * b);
    const read = (key) => {
      const numbers = (parameters.get(key) ?? "").split(",").map(Number);
      return numbers.length === size && numbers.every(Number.isFinite) ? Float32Array.from(numbers) : null;
    };
    here = read("at") ?? (asked ? null : here);
    if (parameters.has("model")) ends = [read("from"), read("to")].filter(Boolean);
    load();
  }

  return { element, open, leave: () => play.pause() };
}

function nest(flat, [first, ...rest]) {
  if (!rest.length) return flat;
  const size = flat.length / first;
  return Array.from({ length: first }, (_, i) => nest(flat.slice(i * size, (i + 1) * size), rest));
}
