/** Models: what each one is, what it can do, and how good it is beside its report. */

import * as api from "./api.js";
import { choice, h } from "./dom.js";
import { listing } from "./requests.js";

const VIEWS = { denoise: "denoise", interpolate: "interpolate", sample: "sample" };
const ROWS = { input: "As it came", linear: "Linear filter", pca: "PCA", model: "This model" };

export function models({ catalog, panel, remember, go }) {
  const all = [...catalog.models.values()];
  const sets = [...new Set(all.map((model) => model.dataset))];
  const list = h("div", { className: "cards" }, all.map((model) => card(model, go)));
  const shown = choice("Data", [["", "All"], ...sets.map((set) => [set, set])], "", (value) => filter(value));
  const filter = (set) => {
    [...list.children].forEach((element, i) => { element.hidden = Boolean(set) && all[i].dataset !== set; });
    remember({ data: set });
  };
  const element = h("section", { "aria-label": "Models" },
    h("h1", { textContent: `${all.length} models` }), h("div", { className: "controls" }, shown.element), list);
  return { element, open(parameters) {
    const set = sets.includes(parameters.get("data")) ? parameters.get("data") : "";
    shown.set(set);
    filter(set);
    panel.show(listing());
  } };
}

function card(model, go) {
  const chips = model.abilities.map((ability) => (ability in VIEWS
    ? h("a", { className: "chip", href: `#${VIEWS[ability]}?${ability === "denoise" ? "models" : "model"}=${model.name}`, textContent: ability })
    : h("span", { className: "chip", textContent: ability })));
  if (model.map) chips.push(h("a", { className: "chip", href: `#latent?model=${model.name}`, textContent: "map" }));
  const picture = h("img", { alt: `What ${model.name} makes of test images` });
  const shown = new IntersectionObserver(async ([seen]) => {
    if (!seen.isIntersecting) return;
    shown.disconnect();
    try {
      picture.src = await api.picture(`models/${model.name}/card.png`);
    } catch {
      picture.remove();
    }
  });
  shown.observe(picture);
  return h("article", { className: "card" }, h("h2", { textContent: model.name }),
    h("p", { textContent: model.summary }), picture, scores(model), h("p", { className: "chips" }, chips),
    h("p", { className: "quiet", textContent: `Takes ${model.image}; latents ${model.latent_shape.map((n) => n ?? "any").join("×")}.` }));
}

/** PSNR as served beside the baselines; and our number beside the report's, by its own protocol. */
function scores(model) {
  const own = model.scores.filter((row) => row.protocol === "served" && row.task === (model.corruption ? "denoise" : "reconstruct")
    && row.corruption === model.corruption && "psnr" in row.values);
  const rows = own.map((row) => [ROWS[row.subject] ?? row.subject, `${row.values.psnr.toFixed(2)} dB`, row.subject === "model"]);
  const report = model.scores.find((row) => row.subject === "report");
  const ours = report && model.scores.find((row) => row.subject === "model" && row.protocol === "report"
    && row.task === report.task && row.corruption === report.corruption && sameNote(row, report));
  const [measure] = ours ? Object.keys(report.values).filter((key) => key in ours.values) : [];
  if (measure) {
    rows.push([`${measure.toUpperCase()} by the report's way`, digits(ours.values[measure]), true]);
    rows.push(["the report's own", digits(report.values[measure]), false]);
  }
  return h("table", {}, h("caption", { textContent: model.corruption ? `Test images, ${model.corruption}` : "Test images, reconstruction" }),
    h("tbody", {}, rows.map(([name, value, strong]) => h("tr", { className: strong ? "strong" : "" },
      h("th", { scope: "row", textContent: name }), h("td", { textContent: value })))));
}

const sameNote = (ours, report) => ours.task !== "classify" || ours.note === report.note;
const digits = (value) => (Math.abs(value) < 1 ? value.toFixed(4) : value.toFixed(2));
