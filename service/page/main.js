/** The page: its views, the link that says what is on screen, and what is dropped or pasted. */

import * as api from "./api.js";
import { Catalog } from "./catalog.js";
import { denoise } from "./denoise.js";
import { h } from "./dom.js";
import { interpolate } from "./interpolate.js";
import * as key from "./key.js";
import { latent } from "./latent.js";
import { models } from "./models.js";
import { requestPanel } from "./requests.js";
import { sample } from "./sample.js";

const VIEWS = { denoise, latent, interpolate, sample, models };
const main = document.querySelector("main");
const notice = document.querySelector("#notice");
const made = {};
let current = "";

function say(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

/** `#latent?model=...` as a view's name and its parameters. */
function place() {
  const [name, query] = location.hash.slice(1).split("?");
  return [name in VIEWS ? name : "denoise", new URLSearchParams(query ?? "")];
}

function show(catalog) {
  const [name, parameters] = place();
  if (current !== name) made[current]?.view.leave?.();
  current = name;
  say("");
  made[name] ??= build(name, catalog);
  main.replaceChildren(made[name].view.element, made[name].panel.element);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else {
      link.removeAttribute("aria-current");
    }
  }
  document.title = `${document.querySelector("nav [aria-current]").textContent} – Autoencoders`;
  made[name].view.open(parameters);
}

function build(name, catalog) {
  const panel = requestPanel();
  const remember = (values) => {
    // The address may name the next view already, which is shown only when the browser says so.
    if (current !== name || place()[0] !== name) return;
    const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== undefined));
    history.replaceState(null, "", `#${name}?${query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":")}`);
  };
  const go = (view, values) => { location.hash = `${view}?${new URLSearchParams(values)}`; };
  return { panel, view: VIEWS[name]({ catalog, say, panel, remember, go }) };
}

async function begin() {
  let answer;
  try {
    answer = await api.get("models");
  } catch (error) {
    main.replaceChildren(...error.status === 401 ? [key.asking(error.message, begin)]
      : [h("p", { textContent: error.message }),
        h("button", { type: "button", textContent: "Try again", onclick: begin })]);
    return;
  }
  if (!answer.models.length) {
    main.replaceChildren(h("h1", { textContent: "No model is loaded" }),
      h("p", { textContent: "The service runs, but it serves no model now. Load one, or train one: python -m training train mnist-mlp-8" }),
      h("button", { type: "button", textContent: "Look again", onclick: begin }));
    return;
  }
  const catalog = new Catalog(answer);
  addEventListener("hashchange", () => show(catalog));
  show(catalog);
}

const take = (files, target) => {
  const file = [...files].find((one) => one.type.startsWith("image/"));
  if (file) made[current]?.view.take?.(file, target);
};
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files, event.target); });
addEventListener("paste", (event) => take(event.clipboardData.files, event.target));
document.querySelector("#skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });

begin();
