// The client that `@hey-api/openapi-ts` generates. `generate.js` writes it.
import { report } from './report.js';

const [url, token, generated] = process.argv.slice(2);
const { topologyStream } = await import(generated);
const { origin, pathname } = new URL(url);

let cursor;
// A clean end of the response ends the generated stream, so a loop opens it again.
for (;;) {
  const { stream } = await topologyStream({
    baseUrl: origin,
    path: { id: pathname.split('/')[3] },
    headers: { Authorization: `Bearer ${token}`, ...(cursor && { 'Last-Event-ID': cursor }) },
    // The delay doubles with each attempt and is never reset.
    sseMaxRetryDelay: 2_000,
    onSseEvent({ id, event, data }) {
      cursor = id ?? cursor;
      // The client has parsed the data.
      report({ id: cursor, event, data: JSON.stringify(data) });
    },
  });
  for await (const _ of stream);
}
