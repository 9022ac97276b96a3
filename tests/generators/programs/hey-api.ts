// Uses a client that @hey-api/openapi-ts generated. Prints what it did as JSON.
import { client } from './client/client.gen';
import {
  authLogin,
  mutationCreate,
  streamTokenMint,
  topologyCreate,
  topologyGet,
  topologyStream,
  topologyUpdate,
} from './client/sdk.gen';

// Whether two types are the same.
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

async function main([origin, password]: string[]) {
  client.setConfig({ baseUrl: origin, throwOnError: false });
  const body = { username: 'admin', password: password! };
  const login = await authLogin({ body, throwOnError: true });
  const { access_token } = login.data;
  client.setConfig({ auth: access_token });

  const topology = await topologyCreate({ body: { name: 'generated' }, throwOnError: true });
  const path = { id: topology.data.id };
  for (const status of ['deploying', 'active'] as const) {
    await topologyUpdate({ path, body: { status }, throwOnError: true });
  }
  const minted = await streamTokenMint({ body: { family: 'topology', id: path.id }, throwOnError: true });

  const published: string[] = [];
  const received: unknown[] = [];
  // Leaving the loop does not close the connection.
  const closed = new AbortController();
  const { stream } = await topologyStream({ path, sseMaxRetryAttempts: 1, signal: closed.signal });
  for await (const item of stream) {
    // The item is the parsed `data`, whose type depends on the event. A program must check what it gets.
    const isUnknown: Same<typeof item, unknown> = true;
    if (typeof item !== 'object' || item === null) throw new Error(`${isUnknown} ${typeof item}`);
    if (published.length === 0) {
      // The first event is the snapshot, so that the stream watches.
      for (let i = 0; i < 10; i += 1) {
        const mutation = await mutationCreate({ path, body: { op: 'add_node' }, throwOnError: true });
        published.push(mutation.data.id);
      }
    } else if ('id' in item && received.push(item.id) === 10) break;
  }
  closed.abort();

  const missing = await topologyGet({ path: { id: '0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10' } });
  const refused = await authLogin({ body });
  const problems = [missing.error!, refused.error!].map(({ status, type }) => ({ status, type }));
  console.log(JSON.stringify({ access_token, url: minted.data.url, published, received, problems }));
}

void main(process.argv.slice(2));
