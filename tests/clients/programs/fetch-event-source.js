// `@microsoft/fetch-event-source`: written for browsers, so it needs `document` and `window`.
import { report } from './report.js';

globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
globalThis.window = globalThis;
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

const [url, token] = process.argv.slice(2);
await fetchEventSource(url, {
  headers: { Authorization: `Bearer ${token}` },
  onmessage: report,
  // Without this, a clean end of the response is the end of the stream.
  onclose() {
    throw new Error('closed, so reconnect');
  },
});
