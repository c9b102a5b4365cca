/** The API key, where the service asks for one: kept for as long as the tab is open. */

import { h } from "./dom.js";

const NAME = "autoencoder-key";

/** What every request carries: nothing, where there is no key. */
export function headers() {
  const key = sessionStorage.getItem(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** A form that asks for the key, with what the service said without it. */
export function asking(message, again) {
  const input = h("input", { type: "password", autocomplete: "off", required: true, "aria-label": "API key" });
  return h("form", { className: "row", onsubmit: (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, input.value.trim());
    again();
  } }, h("h1", { textContent: "This service asks for an API key" }),
  h("p", { className: "quiet", textContent: message }),
  input, h("button", { type: "submit", textContent: "Use this key" }));
}
