// Waits for conditions, with a deadline.

import assert from 'node:assert/strict';

const DEADLINE_MS = 20_000;

/** Resolves when the condition is true. It is read again until then. */
export async function until(what, condition) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    assert(Date.now() < deadline, `too late: ${what}`);
    await pause();
  }
}

/** The time between two readings of a condition. */
export const pause = () => new Promise((resolve) => setTimeout(resolve, 100));
