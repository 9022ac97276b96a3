// Uses the types that openapi-typescript generated with openapi-fetch. Prints what it did as JSON.
import createClient from 'openapi-fetch';
import type { paths } from './client';

// Reads blocks of a stream, without their comments. Each one is an event.
async function* events(body: ReadableStream<Uint8Array>) {
  const decoder = new TextDecoder();
  let buffer = '';
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    const blocks = (buffer + decoder.decode(chunk, { stream: true })).split('\n\n');
    buffer = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: ?(.*)$/m.exec(block)?.[1];
      if (data !== undefined) yield JSON.parse(data) as unknown;
    }
  }
}

// Whether two types are the same.
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function ok<T>({ data, error }: { data?: T; error?: unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

async function main([baseUrl, password]: string[]) {
  const client = createClient<paths>({ baseUrl });
  const login = { body: { username: 'admin', password: password! } };
  const { access_token } = ok(await client.POST('/v1/auth/login', login));
  client.use({
    onRequest({ request }) {
      request.headers.set('Authorization', `Bearer ${access_token}`);
    },
  });

  const { id } = ok(await client.POST('/v1/topologies', { body: { name: 'generated' } }));
  const params = { path: { id } };
  for (const status of ['deploying', 'active'] as const) {
    ok(await client.POST('/v1/topologies/{id}/status', { params, body: { status } }));
  }
  const { url } = ok(await client.POST('/v1/stream-tokens', { body: { family: 'topology', id } }));

  const published: string[] = [];
  const received: unknown[] = [];
  const stream = ok(await client.GET('/v1/topologies/{id}/stream', { params, parseAs: 'stream' }));
  const isStream: Same<typeof stream, Response['body']> = true;
  if (!(stream instanceof ReadableStream)) throw new Error(`${isStream} ${typeof stream}`);
  for await (const event of events(stream)) {
    if (typeof event !== 'object' || event === null) throw new Error(typeof event);
    if (published.length === 0) {
      // The first event is the snapshot, so that the stream watches.
      const options = { params, body: { op: 'add_node' } } as const;
      for (let i = 0; i < 10; i += 1) {
        published.push(ok(await client.POST('/v1/topologies/{id}/mutations', options)).id);
      }
    } else if ('id' in event && received.push(event.id) === 10) break;
  }

  const unknown = { params: { path: { id: '0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10' } } };
  const missing = await client.GET('/v1/topologies/{id}', unknown);
  const refused = await client.POST('/v1/auth/login', login);
  const problems = [missing.error!, refused.error!].map(({ status, type }) => ({ status, type }));
  console.log(JSON.stringify({ access_token, url, published, received, problems }));
}

void main(process.argv.slice(2));
