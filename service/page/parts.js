/** An answer in parts, as its bytes come: how far the work is, and at last the answer. */

const END_OF_HEAD = [13, 10, 13, 10];

/** The last part `{type, bytes}`; `told` gets the share that is done, from 0 to 1. */
export async function read(answer, told) {
  const reader = answer.body.getReader();
  let chunks = [];
  let size = 0;
  let head = null;
  let last = null;

  /** All that is unread as one array: only when there is enough of it. */
  const joined = () => {
    const whole = new Uint8Array(size);
    let place = 0;
    for (const chunk of chunks) {
      whole.set(chunk, place);
      place += chunk.length;
    }
    return whole;
  };
  const keep = (rest) => {
    chunks = rest.length ? [rest] : [];
    size = rest.length;
  };

  /** Reads one head or one body, if it is all there. */
  const step = () => {
    if (head && size < head.length) return false;
    const whole = joined();
    if (head) {
      const bytes = whole.subarray(0, head.length);
      keep(whole.slice(head.length));
      if (head.isAnswer) last = { type: head.type, bytes };
      else {
        const { done, total } = JSON.parse(new TextDecoder().decode(bytes));
        told(done / total);
      }
      head = null;
      return true;
    }
    const end = whole.findIndex((_, i) => END_OF_HEAD.every((byte, k) => whole[i + k] === byte));
    if (end < 0) return false;
    const text = new TextDecoder().decode(whole.subarray(0, end));
    const header = (name) => text.match(new RegExp(`^${name}: *(.*?)\\r?$`, "im"))?.[1];
    const type = header("content-type");
    head = { type, length: Number(header("content-length")),
      isAnswer: type !== "application/json" || header("model-name") !== undefined };
    keep(whole.slice(end + END_OF_HEAD.length));
    return true;
  };

  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
    while (step());
  }
  if (!last) throw new Error("The service ended before its answer.");
  return last;
}
