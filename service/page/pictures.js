/** Pictures to send: the shipped test images, files, and drawings. */

import { BASE } from "./api.js";
import { bytes } from "./pixels.js";

const SENT_AS_THEY_ARE = ["image/png", "image/jpeg", "image/webp", "image/bmp"];
const LONGEST = 2048;
// What a link can hold: a drawn digit, not a photograph.
const LONGEST_LINK = 4000;

/** The shipped images: `{name, set, label}`. */
export const shipped = fetch(new URL("page/images/list.json", BASE)).then((answer) => answer.json());

export const shippedUrl = (name) => new URL(`page/images/${name}.png`, BASE).href;

/** Names of the shipped images of the kind that a model was trained on; mnist5 is of MNIST's digits. */
export const shippedLike = async (dataset) => (await shipped)
  .filter((image) => image.set === dataset.replace(/^mnist5$/, "mnist")).map((image) => image.name);

/** One of the shipped images. */
export async function fromShipped(name) {
  const entry = (await shipped).find((image) => image.name === name);
  if (!entry) return null;
  const blob = await (await fetch(shippedUrl(name))).blob();
  // By its set: one of the photographs happens to be grey.
  const channels = entry.set === "mnist" ? 1 : 3;
  return described(blob, { id: name, file: `${name}.png`, url: shippedUrl(name), set: entry.set, channels });
}

/** A drawing: PNG bytes in a blob. */
export async function fromDrawing(blob) {
  const base64 = await base64Of(blob);
  return described(blob, { id: `png.${base64}`, file: "drawing.png", base64, set: "mnist" });
}

/** A file that was chosen, dropped or pasted; very large ones are made smaller first. */
export async function fromFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name || "What was pasted"} is no picture that this browser can read.`);
  }
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && SENT_AS_THEY_ARE.includes(file.type)) {
    const base64 = await base64Of(file);
    const small = base64.length <= LONGEST_LINK && file.type === "image/png";
    return described(file, { id: small ? `png.${base64}` : "", file: file.name || "pasted.png",
      base64: small ? base64 : undefined });
  }
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const name = (file.name || "pasted").replace(/\.\w+$/, "");
  return described(blob, { id: "", file: `${name}.png`, resized: true });
}

/** The picture that a link names, or null. */
export async function fromId(id) {
  if (!id.startsWith("png.")) return fromShipped(id);
  try {
    return await fromDrawing(new Blob([bytes(id.slice(4))], { type: "image/png" }));
  } catch {
    return null;
  }
}

async function described(blob, more) {
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(Math.min(width, 64), Math.min(height, 64));
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let grey = true;
  for (let i = 0; i < data.length; i += 4) grey &&= data[i] === data[i + 1] && data[i] === data[i + 2];
  return { blob, width, height, channels: grey ? 1 : 3, ...more };
}

async function base64Of(blob) {
  const letters = Array.from(new Uint8Array(await blob.arrayBuffer()), (byte) => String.fromCharCode(byte));
  return btoa(letters.join(""));
}
