/** What the service offers, and which model to begin with. */

const SIZE = /^(\d+)x(\d+) (grey|colour)$/;
const ANY = /^any size from (\d+)x\d+, (grey|colour)$/;
const CHANNELWISE = /, or colour channel by channel$/;

/**
 * A model's own idea of images: `{width, height, smallest, channels}`; no width means any, and no
 * channels mean either grey or colour.
 */
function taken(text) {
  if (CHANNELWISE.test(text)) return { ...taken(text.replace(CHANNELWISE, "")), channels: null };
  const fixed = SIZE.exec(text);
  if (fixed) return { width: +fixed[1], height: +fixed[2], channels: fixed[3] === "grey" ? 1 : 3 };
  const any = ANY.exec(text);
  return { smallest: +any[1], channels: any[2] === "grey" ? 1 : 3 };
}

/** The answer of GET /models, by name, in the order in which `auto` tries them. */
export class Catalog {
  constructor({ models, ranking }) {
    this.models = new Map(models.map((model) => [model.name, { ...model, takes: taken(model.image) }]));
    this.ranking = ranking;
  }

  get(name) { return this.models.get(name); }

  /** Names of the models with that ability, the best first. */
  able(ability) { return this.ranking[ability] ?? []; }

  /** Whether a model takes a picture as it is. */
  fits(name, picture) {
    const { width, height, smallest } = this.get(name).takes;
    return width ? width === picture.width && height === picture.height
      : Math.min(picture.width, picture.height) >= smallest;
  }

  /**
   * The first models for a picture: those of its own set, else of its size and colours; and of
   * these, those that learned to undo an occlusion first if that is what it shows.
   */
  suited(ability, picture, noise) {
    const distance = (name) => {
      const model = this.get(name);
      const unlearned = noise === "occlusion" && !model.corruption?.startsWith(noise);
      return 8 * !this.fits(name, picture) + 4 * !this.keeps(name, picture)
        + 2 * (model.dataset !== picture.set) + unlearned;
    };
    // A stable sort: `auto`'s order among those that are equally near.
    return [...this.able(ability)].sort((a, b) => distance(a) - distance(b));
  }

  /** Whether a model was made for pictures like this one. */
  isSuited(name, picture) {
    return this.fits(name, picture) && this.keeps(name, picture);
  }

  /** Whether a model keeps a picture grey, or coloured, as it is. */
  keeps(name, picture) {
    const { channels } = this.get(name).takes;
    return channels === null || channels === picture.channels;
  }
}
