/** Plays frames to and fro, with a scrubber; and saves them as a GIF. */

import { h, slider } from "./dom.js";
import { drawRaw, save } from "./pixels.js";

const FRAMES_A_SECOND = 20;

/** A player on `canvas`; `gif` gives the blob to be saved, `moved` gets each frame's number. */
export function player({ canvas, gif, say, moved = () => {} }) {
  let frames = null;
  let place = 0;
  let step = 1;
  let playing = false;
  let last = 0;
  const scrub = slider("Frame", { min: 0, max: 1, step: 1, value: 0, say: (frame) => String(frame + 1),
    change: (frame) => { pause(); go(frame); } });
  const toggle = h("button", { type: "button", className: "primary", textContent: "Play",
    onclick: () => (playing ? pause() : play()) });
  const element = h("div", { className: "player", hidden: true }, toggle, scrub.element,
    h("button", { type: "button", textContent: "Save as GIF", onclick: async () => {
      try { save(await gif(), "walk.gif"); } catch (error) { say(error.message); }
    } }));

  function go(frame) {
    place = frame;
    if (frames) drawRaw(canvas, frames, frame);
    scrub.set(frame);
    moved(frame);
  }

  function tick(now) {
    if (!playing || !element.isConnected) { pause(); return; }
    if (now - last >= 1000 / FRAMES_A_SECOND) {
      last = now;
      if (place + step < 0 || place + step >= frames.shape[0]) step = -step;
      go(place + step);
    }
    requestAnimationFrame(tick);
  }

  function play() {
    if (!frames || playing) return;
    playing = true;
    toggle.textContent = "Pause";
    requestAnimationFrame(tick);
  }

  function pause() {
    playing = false;
    toggle.textContent = "Play";
  }

  return {
    element, play, pause,
    /** The frame to begin with, once there are frames. */
    start(frame) { place = frame; },
    /** Shows other frames, `{shape, data}`; the frame that was shown stays, where there is one. */
    load(given) {
      frames = given;
      element.hidden = !given;
      if (!given) { pause(); return; }
      const most = given.shape[0] - 1;
      place = Math.min(place, most);
      scrub.set(place, { max: most });
      go(place);
    },
  };
}

/** Whether things may move by themselves. */
export const mayMove = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
