// Prints what a client delivers, as one line of JSON.
export const KINDS = ['snapshot', 'status', 'mutation.enqueued', 'stream.dropped', 'stream.closed'];

export function report({ id, event, data }) {
  process.stdout.write(`${JSON.stringify({ id, event, data })}\n`);
}
