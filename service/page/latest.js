/**
 * Runs one job at a time. Of the calls that come meanwhile only the newest is run, so that a
 * pointer is followed as fast as the service answers and no answer comes late.
 */
export function latest(job) {
  let running = false;
  let next = null;
  return async (...values) => {
    next = values;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await job(...now);
      }
    } finally {
      running = false;
    }
  };
}
