/** Denoise: noise on a picture, what up to four models make of it, and how good that is. */

import * as api from "./api.js";
import { choice, h, modelMenu, slider } from "./dom.js";
import { figure, numbers, wiped } from "./figure.js";
import { latest } from "./latest.js";
import { drawEncoded } from "./pixels.js";
import { picker } from "./picker.js";
import { fromId, fromShipped, shippedLike } from "./pictures.js";
import { denoising } from "./requests.js";

const MOST_MODELS = 4;
const FIRST = "mnist-7";
const LARGE = 256 * 256; // pixels, from which on the service works in tiles
const UNUSUAL = 99; // percent of the model's noisy test pictures
const NOISES = {
  gaussian: { min: 0, max: 0.6, step: 0.01, value: 0.3, say: (std) => `std ${std.toFixed(2)}` },
  occlusion: { min: 1, max: 20, step: 1, value: 9, say: (side) => `${side}×${side} pixels` },
};

export function denoise({ catalog, say, panel, remember }) {
  let picture = null;
  let models = [];
  let brought = ""; // the models as the page chose them; whoever changes them keeps theirs
  let noise = "gaussian";
  let seed = 1;
  const amounts = { gaussian: NOISES.gaussian.value, occlusion: NOISES.occlusion.value };
  let cards = [];
  let underWay = null;

  const original = figure("Original", "The original picture");
  const noisy = figure("Noisy", "The picture with noise on it");
  const results = h("div", { className: "figures" });
  const bar = h("progress", { max: 1, hidden: true, "aria-label": "Denoised so far" });
  const wipe = slider("Before / after", { min: 0, max: 1, step: 0.01, value: 0.3,
    say: (share) => `${Math.round(100 * share)} % noisy`, change: (share) => wipeTo(share) });
  const wipeTo = (share) => {
    wipe.set(share);
    results.style.setProperty("--wipe", `${100 * share}%`);
  };
  const kind = choice("Noise", [["gaussian", "Gaussian"], ["occlusion", "Occlusion"], ["none", "None"]],
    noise, (value) => {
      noise = value;
      showNoise();
      if (picture && models.join() === brought) bring();
      update();
    });
  const amount = slider("Strength", { ...NOISES.gaussian,
    change: (value) => { amounts[noise] = value; update(); } });
  const again = h("button", { type: "button", textContent: "New noise",
    onclick: () => { seed = 1 + Math.floor(Math.random() * 9999); update(); } });
  const add = h("select", { "aria-label": "Compare with one more model", onchange: () => {
    models.push(add.value);
    lay();
    update();
  } });
  const pick = picker({ label: "Picture", picked: take, say });
  const element = h("section", { "aria-label": "Denoise" },
    h("h1", { textContent: "Take the noise off" }), pick.element,
    h("div", { className: "controls" }, kind.element, amount.element, again, wipe.element, add),
    bar, results);
  wipeTo(0.3);

  function showNoise() {
    const none = noise === "none";
    amount.element.hidden = again.hidden = none;
    if (none) return;
    const { min, max, step, say: words } = NOISES[noise];
    amount.set(amounts[noise], { min, max, step }, words);
  }

  /** Takes a picture, and models that suit it if none of the chosen ones does. */
  function take(given) {
    if (!given) return;
    picture = given;
    pick.show(picture.id);
    if (picture.resized) say("The picture is large: it was made smaller to be sent.");
    if (models.some((name) => catalog.isSuited(name, picture))) lay();
    else bring();
    update();
  }

  /** Begins with the models that suit the picture and the noise. */
  function bring() {
    models = catalog.suited("denoise", picture, noise).slice(0, 2);
    brought = models.join();
    lay();
  }

  /** The figures: the original, the noisy one, and one a model with its menu. */
  function lay() {
    const able = catalog.able("denoise");
    cards = models.map((name, place) => {
      const title = h("span", { className: "title" },
        modelMenu(`Model ${place + 1}`, able, name, (value) => { models[place] = value; lay(); update(); }),
        models.length > 1 ? h("button", { type: "button", className: "remove", textContent: "×",
          "aria-label": `Remove ${name}`, onclick: () => { models.splice(place, 1); lay(); update(); } }) : null);
      return wiped(title, `What ${name} makes of it`, wipeTo);
    });
    results.replaceChildren(original.element, noisy.element, ...cards.map((card) => card.element));
    add.hidden = models.length >= MOST_MODELS || !able.length;
    add.replaceChildren(h("option", { textContent: "Compare with…", disabled: true, selected: true }),
      ...able.filter((name) => !models.includes(name)).map((name) => h("option", { value: name, textContent: name })));
  }

  const options = (model) => ({
    model,
    simulate: noise === "none" ? undefined : `${noise}:${amounts[noise]}`,
    seed: noise === "none" ? undefined : seed,
    fit: catalog.fits(model, picture) ? undefined : "resize",
  });

  function update() {
    if (!picture) return;
    const calls = models.map(options);
    remember({ image: picture.id, noise: noise === "none" ? noise : `${noise}:${amounts[noise]}`, seed, models: models.join(",") });
    panel.show(denoising(picture, calls));
    underWay?.abort(); // nobody waits for a large picture of which something else is wanted
    ask(picture, calls, cards);
  }

  const ask = latest(async (sent, calls, shown) => {
    try {
      const drawn = drawEncoded(original.canvas, sent.blob);
      const answers = await (sent.width * sent.height > LARGE ? watched : all)(calls, sent.blob);
      await drawn;
      const simulated = answers[0]?.noisy?.[0] ?? null;
      noisy.element.hidden = !simulated;
      if (simulated) {
        await drawEncoded(noisy.canvas, simulated);
        noisy.below.replaceChildren(numbers(answers[0].quality.before.mean));
      }
      const best = Math.max(...answers.map((answer) => answer.quality?.after.mean.psnr ?? NaN));
      await Promise.all(answers.map(async (answer, i) => {
        await drawEncoded(shown[i].canvas, answer.images[0]);
        await drawEncoded(shown[i].before, answer.noisy?.[0] ?? sent.blob);
        const quality = answer.quality;
        shown[i].element.classList.toggle("best", answers.length > 1 && quality?.after.mean.psnr === best);
        const std = answer.noise_std?.[0] ?? null;
        shown[i].below.replaceChildren(
          ...(quality ? [numbers(quality.after.mean), gain(quality.gain_db)] : []),
          ...(std === null ? [] : [h("p", { className: "quiet", "data-noise": std,
            textContent: `Noise of std ${std.toFixed(1)} of 255 taken off${unusual(answer)}` })]));
      }));
      element.dataset.answered = String(1 + Number(element.dataset.answered ?? 0));
      say("");
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    }
  });

  const all = (calls, blob) => Promise.all(calls.map((call) => api.send("denoise", call, blob)));

  /** The same with a bar, until something else is wanted. */
  async function watched(calls, blob) {
    underWay = new AbortController();
    const { signal } = underWay;
    const shares = calls.map(() => 0);
    bar.value = 0;
    bar.hidden = false;
    try {
      return await Promise.all(calls.map((call, i) => api.sendTold("denoise", call, blob, (share) => {
        shares[i] = share;
        bar.value = shares.reduce((a, b) => a + b) / shares.length;
      }, signal)));
    } finally {
      bar.hidden = true;
      underWay = null;
    }
  }

  async function open(parameters) {
    const [asked, strength] = (parameters.get("noise") ?? "").split(":");
    if (asked === "none" || asked in NOISES) noise = asked;
    if (asked in NOISES && Number(strength) >= 0) amounts[asked] = Number(strength);
    kind.set(noise);
    showNoise();
    seed = Number(parameters.get("seed")) || seed;
    const able = catalog.able("denoise");
    const asks = (parameters.get("models") ?? "").split(",").filter((name) => able.includes(name));
    if (asks.length) models = asks.slice(0, MOST_MODELS);
    if (!able.length) say("No model that is loaded can denoise.");
    const image = parameters.get("image");
    const suited = image || !asks.length ? [] : await shippedLike(catalog.get(asks[0]).dataset);
    take(await fromId(image ?? suited[0] ?? "") ?? picture ?? await fromShipped(FIRST));
  }

  return { element, open, take: pick.take };
}

/** What is said of noise that the model did not learn. */
function unusual(answer) {
  const place = answer.noise_anomaly_percentile?.[0] ?? 0;
  return place > UNUSUAL ? "; it is unlike the noise that the model learned" : "";
}

function gain(decibels) {
  const text = `${decibels >= 0 ? "+" : "−"}${Math.abs(decibels).toFixed(2)} dB`;
  return h("p", { className: `gain ${decibels >= 0 ? "better" : "worse"}`, textContent: text,
    title: "PSNR after less before" });
}
