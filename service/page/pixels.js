/** Pixels onto canvases. A canvas has the image's own size; the style enlarges it. */

/** The bytes of base64. */
export const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** Draws a blob, or the base64 of a PNG. */
export async function drawEncoded(canvas, image) {
  const blob = image instanceof Blob ? image : new Blob([bytes(image)], { type: "image/png" });
  const bitmap = await createImageBitmap(blob);
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

/** Draws one of the images of an npy answer `[B,H,W,C]`. */
export function drawRaw(canvas, { shape, data }, place = 0) {
  const [, height, width, channels] = shape;
  const image = new ImageData(width, height);
  const start = place * height * width * channels;
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = data[start + i * channels + (channels === 3 ? c : 0)];
    }
    image.data[4 * i + 3] = 255;
  }
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The canvas as a PNG. */
export const encoded = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

/** Hands a blob to the browser to be saved. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
