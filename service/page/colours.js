/** Okabe and Ito's colours, for those who see few colours too, and two more; one set for each ground. */

const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c00", "#1c1c1c", "#8a8a8a", "#9a8fd0"];
const DARK = ["#3f9fdc", "#ff7a1f", "#1fc99a", "#e79ac6", "#f2b632", "#8fd0f7", "#c9a640", "#f2f2f2", "#9c9c9c", "#bdb4ee"];

/** A colour for each of `count` classes. */
export function colours(count) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return Array.from({ length: count }, (_, i) => (dark ? DARK : LIGHT)[i % LIGHT.length]);
}
