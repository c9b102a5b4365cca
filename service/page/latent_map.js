/** A model's map: latents of test images, and the places where they are drawn. */

import { bytes } from "./pixels.js";

// A place between the points of a t-SNE map has no latents of its own: those of this many of the
// nearest points are mixed, the nearer the more.
const NEAREST = 6;

/** The numbers of a quantised table, as the service's latent_map.py describes it. */
function numbers({ bits, low, high, data }) {
  const raw = bytes(data);
  const levels = bits === 8 ? raw : new Uint16Array(raw.buffer);
  const columns = low.length;
  return Float32Array.from(levels, (level, i) => {
    const column = i % columns;
    return low[column] + (level / (2 ** bits - 1)) * (high[column] - low[column]);
  });
}

const row = (table, size, place) => table.subarray(place * size, (place + 1) * size);

export class LatentMap {
  constructor(json) {
    this.classes = json.classes;
    this.labels = bytes(json.labels);
    this.latents = numbers(json.latents);
    this.count = this.labels.length;
    this.size = this.latents.length / this.count;
    this.components = json.components;
    this.tables = { plane2: this.size === 2 ? this.latents : null };
    for (const [axes, table] of Object.entries(json.tsne)) this.tables[`tsne${axes}`] = numbers(table);
    if (json.components) {
      for (const axes of [2, 3]) {
        if (json.components.axes.length >= axes) this.tables[`pca${axes}`] = this.#projected(axes);
      }
    }
  }

  /** The layouts there are, the best first: `plane`, `tsne`, `pca`. */
  get layouts() { return ["plane", "tsne", "pca"].filter((name) => this.tables[`${name}2`]); }

  dimensions(layout) { return this.tables[`${layout}3`] ? [2, 3] : [2]; }

  places(layout, axes) { return this.tables[`${layout}${axes}`]; }

  latentsOf(point) { return Float32Array.from(row(this.latents, this.size, point)); }

  /** The latents of a place on the plane. */
  latentsAt(layout, place) {
    if (layout === "plane") return Float32Array.from(place);
    if (layout === "pca") {
      // Within the plane exactly; along all other components the mean, which is zero.
      const { mean, axes } = this.components;
      return Float32Array.from(mean, (value, i) => value + place[0] * axes[0][i] + place[1] * axes[1][i]);
    }
    return this.#mixed(this.places(layout, 2), 2, place, this.latents, this.size);
  }

  /** Where latents lie on a map: exactly but on t-SNE's, where it is among their nearest. */
  placeOf(layout, axes, latents) {
    if (layout === "plane") return latents;
    if (layout === "pca") return this.#project(latents, axes);
    return this.#mixed(this.latents, this.size, latents, this.places(layout, axes), axes);
  }

  /** The test image whose latents are nearest. */
  nearest(latents) { return this.#near(this.latents, this.size, latents, 1)[0].point; }

  #projected(axes) {
    const places = new Float32Array(this.count * axes);
    for (let i = 0; i < this.count; i++) places.set(this.#project(row(this.latents, this.size, i), axes), i * axes);
    return places;
  }

  #project(latents, axes) {
    const { mean, axes: directions } = this.components;
    return directions.slice(0, axes).map((direction) =>
      direction.reduce((sum, weight, i) => sum + weight * (latents[i] - mean[i]), 0));
  }

  #near(table, size, place, count) {
    const found = [];
    for (let point = 0; point < this.count; point++) {
      let distance = 0;
      for (let i = 0; i < size; i++) distance += (table[point * size + i] - place[i]) ** 2;
      if (found.length < count || distance < found.at(-1).distance) {
        found.push({ point, distance });
        found.sort((a, b) => a.distance - b.distance);
        found.length = Math.min(found.length, count);
      }
    }
    return found;
  }

  #mixed(from, size, place, to, width) {
    const near = this.#near(from, size, place, NEAREST);
    const mixed = new Float32Array(width);
    let total = 0;
    for (const { point, distance } of near) {
      const weight = 1 / (distance + 1e-9);
      total += weight;
      for (let i = 0; i < width; i++) mixed[i] += weight * to[point * width + i];
    }
    return mixed.map((value) => value / total);
  }
}

/** `count` latents from one to another: the service's own paths, service/interpolation.py. */
export function between(start, end, count, path) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const lengths = Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.max(-1, Math.min(1, lengths ? dot(start, end) / lengths : 1)));
  const curved = path === "spherical" && Math.sin(angle) > 1e-6;
  return Array.from({ length: count }, (_, step) => {
    const t = step / (count - 1);
    const [a, b] = curved ? [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)] : [1 - t, t];
    return Float32Array.from(start, (value, i) => a * value + b * end[i]);
  });
}
