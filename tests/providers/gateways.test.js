// Two gateways on one PostgreSQL, and a provider that ends a grant if a refresh token comes a second time.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { CLIENT, settings, userinfo } from './client.js';
import { startGateway } from './gateway.js';
import { Issued } from './issued.js';
import { PUBLIC_URL, link } from './link.js';
import { createPerson } from './person.js';
import { startProvider } from './provider.js';
import { until } from './waiting.js';
import { claim } from './work.js';

const { TEST_DATABASE_URL } = process.env;
const skip = TEST_DATABASE_URL ? false : 'needs TEST_DATABASE_URL, the URL of a PostgreSQL database';

let provider;
let issued;
const gateways = [];

before(async () => {
  if (skip) return;
  provider = await startProvider({ pages: true, clients: [CLIENT], accessTokenTtl: 3 });
  issued = new Issued(provider.provider);
  const env = {
    STREAMGATE_DATABASE__URL: TEST_DATABASE_URL,
    STREAMGATE_SERVER__PUBLIC_URL: PUBLIC_URL,
    STREAMGATE_OAUTH__PROVIDERS: settings({ provider }),
  };
  gateways.push(await startGateway(env));
  gateways.push(await startGateway(env, { keysOf: gateways[0] }));
});

after(async () => {
  for (const gateway of gateways) await gateway.stop();
  await provider?.stop();
});

test('two gateways use each refresh token once', { skip }, async () => {
  const owner = await createPerson(gateways[0], 'viewer');
  const streams = await Promise.all(gateways.map((gateway) => owner.at(gateway).watch()));
  await link(owner, 'niklaus', { name: 'provider' });
  for (const stream of streams) await stream.next('oauth.linked');
  for (let refreshes = 0; refreshes < 5; refreshes += 1) {
    // Both gateways look for grants that are due, and both streams get each event once.
    for (const stream of streams) await stream.next('oauth.refreshed');
  }
  const getToken = await claim(owner, 'provider');
  for (const stream of streams) stream.close();
  for (const gateway of gateways) {
    const connections = async () => (await owner.at(gateway).get('/v1/connections')).items.length;
    await until('no stream is open', async () => (await connections()) === 0);
  }
  const hasExpired = async () => Date.parse((await owner.grant('provider')).access_expires_at) < Date.now();
  await until('the token has expired', hasExpired);
  const before = issued.refreshes('niklaus').length;
  // Many workers at both gateways at once are one refresh.
  const asked = Array.from({ length: 10 }, (_, index) => getToken(gateways[index % 2]));
  const tokens = new Set((await Promise.all(asked)).map(({ access_token }) => access_token));
  assert.deepEqual([...tokens], [issued.newest('niklaus').access]);
  assert.equal((await userinfo(provider, [...tokens][0])).sub, 'niklaus');
  assert.equal(issued.refreshes('niklaus').length, before + 1);
  issued.assertChain('niklaus');
  const events = (await owner.notifications()).filter((kind) => kind === 'oauth.refreshed');
  assert.equal(events.length, before + 1);
});
