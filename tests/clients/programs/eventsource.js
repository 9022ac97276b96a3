// `eventsource`: the EventSource of browsers for Node.
import { EventSource } from 'eventsource';
import { KINDS, report } from './report.js';

const [url, token] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
});
for (const kind of [...KINDS, 'message']) {
  source.addEventListener(kind, ({ lastEventId, data }) => report({ id: lastEventId, event: kind, data }));
}
