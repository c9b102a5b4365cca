/** Calls to the service that this page came from. */

import * as key from "./key.js";
import * as npy from "./npy.js";
import * as parts from "./parts.js";

export const BASE = new URL(".", document.baseURI).href;

const JSON_TYPE = "application/json";
const NPY = "application/x-npy";
const PARTS = "multipart/mixed";

/** What the service refused, in its own words. */
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The full address of a route, with the options that are set. */
export function address(path, options = {}) {
  const url = new URL(path, BASE);
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(key, value);
  }
  return url.href.replaceAll("%3A", ":");
}

async function ask(url, request = {}) {
  let answer;
  try {
    answer = await fetch(url, { ...request, headers: { ...request.headers, ...key.headers() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service does not answer: is it still running?");
  }
  if (answer.ok) return answer;
  throw refused(await answer.json().catch(() => ({})), answer.status);
}

const refused = (problem, status) =>
  new Problem(problem.detail ?? `The service answered ${status}.`, status);

const post = (path, options, body, headers, signal) =>
  ask(address(path, options), { method: "POST", body, headers, signal });

/** Anything that the service gives as JSON. */
export const get = async (path) => (await ask(address(path))).json();

/** An address for an image that shows what is at that path: images send no key of their own. */
export const picture = async (path) => URL.createObjectURL(await (await ask(address(path))).blob());

/** One picture's bytes through /denoise, /encode: the JSON answer. */
export async function send(path, options, blob) {
  const headers = { "Content-Type": blob.type, Accept: JSON_TYPE };
  return (await post(path, options, blob, headers)).json();
}

/** The same of a large picture: `told` gets the share that is done; `signal` gives it up. */
export async function sendTold(path, options, blob, told, signal) {
  const headers = { "Content-Type": blob.type, Accept: `${PARTS}, ${JSON_TYPE}` };
  const answer = await post(path, options, blob, headers, signal);
  const { type, bytes } = await parts.read(answer, told);
  const last = JSON.parse(new TextDecoder().decode(bytes));
  if (type !== JSON_TYPE) throw refused(last, last.status);
  return last;
}

/** Frames between two pictures: `{shape, data}`, or a GIF's blob. */
export async function interpolate(options, blobs, accept = NPY) {
  const form = new FormData();
  for (const blob of blobs) form.append("images", blob, "image");
  const answer = await post("interpolate", options, form, { Accept: accept });
  return accept === NPY ? npy.read(await answer.arrayBuffer()) : answer.blob();
}

/** Images of latents `[N, ...shape]`: `{shape, data}`, or a GIF's blob. */
export async function decode(model, latents, shape, accept = NPY) {
  const body = npy.write(latents, shape);
  const answer = await post("decode", { model }, body, { "Content-Type": NPY, Accept: accept });
  return accept === NPY ? npy.read(await answer.arrayBuffer()) : answer.blob();
}

/** Random images. */
export async function sample(options) {
  return (await post("sample", options, null, { Accept: JSON_TYPE })).json();
}
