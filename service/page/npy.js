/** NumPy's .npy: the bytes that the service takes latents in and gives pixels in. */

const MAGIC = "\x93NUMPY";

/** float32 numbers of that shape, as numpy.save writes them. */
export function write(numbers, shape) {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  let header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${tuple}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + "\n";
  const bytes = new Uint8Array(10 + header.length + 4 * numbers.length);
  const view = new DataView(bytes.buffer);
  [...MAGIC].forEach((letter, i) => view.setUint8(i, letter.charCodeAt(0)));
  view.setUint8(6, 1);
  view.setUint16(8, header.length, true);
  [...header].forEach((letter, i) => view.setUint8(10 + i, letter.charCodeAt(0)));
  numbers.forEach((number, i) => view.setFloat32(10 + header.length + 4 * i, number, true));
  return bytes;
}

/** `{shape, data}` of what the service answers: uint8 pixels or float32 latents. */
export function read(buffer) {
  const size = new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, 10, size));
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((s) => s.trim()).map(Number);
  const body = buffer.slice(10 + size);
  return { shape, data: header.includes("|u1") ? new Uint8Array(body) : new Float32Array(body) };
}
