/** The request panel: what is on screen as lines for curl and for Python. */

import { BASE, address } from "./api.js";
import { choice, h } from "./dom.js";
import * as key from "./key.js";

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const python = (value) => typeof value === "number" ? String(value) : JSON.stringify(value);
const keywords = (options) => Object.entries(options)
  .filter(([, value]) => value !== undefined)
  .map(([key, value]) => `, ${key}=${python(value)}`).join("");

/** Lines that make the file that is sent. A file of the reader's own needs none. */
function fetchingSh(picture) {
  if (picture.url) return [`curl -s ${picture.url} -o ${quoted(picture.file)}`];
  if (picture.base64) return [`printf %s ${picture.base64} | base64 -d > ${quoted(picture.file)}`];
  return [];
}

function fetchingPy(picture) {
  if (picture.url) return [`urllib.request.urlretrieve(${python(picture.url)}, ${python(picture.file)})`];
  if (picture.base64) return [`Path(${python(picture.file)}).write_bytes(base64.b64decode(${python(picture.base64)}))`];
  return [];
}

function importsPy(pictures) {
  return [
    pictures.some((picture) => picture.base64 && !picture.url) && ["import base64", "from pathlib import Path"],
    pictures.some((picture) => picture.url) && ["import urllib.request"],
  ].filter(Boolean).flat();
}

const program = (imports, lines) => [...imports, ...(imports.length ? [""] : []),
  "from service.client import Client", "", ...lines.before,
  `with Client(${python(BASE.replace(/\/$/, ""))}) as client:`, ...lines.within.map((line) => `    ${line}`)].join("\n");

/** Pictures through /denoise, by each of several models. */
export function denoising(picture, calls) {
  const sh = calls.map((options) =>
    `curl -s -F images=@${quoted(picture.file)} ${quoted(address("denoise", options))}`);
  const within = calls.flatMap((options) => [
    `answer = client.denoise(${python(picture.file)}${keywords(options)})`,
    options.simulate ? "print(answer.model.name, answer.quality.after.mean)"
      : 'answer.save("denoised.png")']);
  return { sh: [...fetchingSh(picture), ...sh].join("\n"),
    python: program(importsPy([picture]), { before: [...fetchingPy(picture)], within }) };
}

/** The frames between two pictures, as a GIF. */
export function walking(pictures, options) {
  const names = pictures.map((picture) => picture.file);
  const files = names.map((name) => `-F images=@${quoted(name)}`).join(" ");
  return {
    sh: [...pictures.flatMap(fetchingSh),
      `curl -s -H 'Accept: image/gif' ${files} ${quoted(address("interpolate", options))} -o walk.gif`].join("\n"),
    python: program(importsPy(pictures), { before: pictures.flatMap(fetchingPy),
      within: [`client.interpolate(${names.map(python).join(", ")}${keywords(options)}).save("walk.gif")`] }),
  };
}

/** One image from its latents. */
export function decoding(model, nested) {
  const body = JSON.stringify({ latents: [nested] });
  return {
    sh: `curl -s -H 'Content-Type: application/json' -H 'Accept: image/png' -d ${quoted(body)} `
      + `${quoted(address("decode", { model }))} -o decoded.png`,
    python: program(["import numpy as np"], { before: [], within: [
      `latents = np.array([${JSON.stringify(nested)}], np.float32)`,
      `client.decode(latents, model=${python(model)}).save("decoded.png")`] }),
  };
}

/** Random images in one picture. */
export function sampling(options) {
  const { count, ...rest } = options;
  return {
    sh: `curl -s -X POST ${quoted(address("sample", options))} -o samples.png`,
    python: program([], { before: [],
      within: [`client.sample(${count}${keywords(rest)}).save("samples.png")`] }),
  };
}

/** The list of models, or one of them. */
export function listing() {
  return { sh: `curl -s ${address("models")}`,
    python: program([], { before: [], within: ["for model in client.models():", "    print(model.name, model.summary)"] }) };
}

/** The panel under every view. */
export function requestPanel() {
  const code = h("code");
  const texts = { sh: "", python: "" };
  let language = "sh";
  // The client takes the key from the same place, so that no line holds it.
  const withKey = (text) => (Object.keys(key.headers()).length
    ? text.replaceAll("curl -s", 'curl -s -H "X-API-Key: $AUTOENCODER_API_KEY"') : text);
  const show = () => { code.textContent = withKey(texts[language]); };
  const copy = h("button", { type: "button", textContent: "Copy", onclick: async () => {
    await navigator.clipboard.writeText(code.textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  } });
  const picked = choice("Language", [["sh", "curl"], ["python", "Python"]], language,
    (value) => { language = value; show(); });
  const element = h("details", { className: "requests" },
    h("summary", { textContent: "The same as a request" }),
    h("div", { className: "row" }, picked.element, copy),
    h("pre", { tabIndex: 0, "aria-label": "Request" }, code));
  return { element, show(lines) { Object.assign(texts, lines); show(); } };
}
