// Access tokens of a certified provider: discovery, keys, rotation and an outage.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startGateway } from './gateway.js';
import { RESOURCE, logIn, newKeys, startProvider, token } from './provider.js';

const CLIENT_GRANT = { grant_type: 'client_credentials', scope: 'streams' };

let provider;
let gateway;

before(async () => {
  provider = await startProvider();
  gateway = await startGateway({
    STREAMGATE_AUTH__ISSUERS: JSON.stringify([
      { issuer: provider.issuer, audience: RESOURCE, roles: { staff: 'operator' }, private_network: true },
    ]),
  });
});

after(async () => {
  await gateway?.stop();
  await provider?.stop();
});

async function me(accessToken) {
  const response = await gateway.get('/v1/auth/me', accessToken);
  return { status: response.status, body: await response.json() };
}

// Creates a topology and reads the first event of its stream.
async function firstEvent(accessToken) {
  const created = await gateway.post('/v1/topologies', accessToken, { name: `t-${Date.now()}` });
  assert.equal(created.status, 201);
  const { id } = await created.json();
  const stream = await gateway.get(`/v1/topologies/${id}/stream`, accessToken);
  assert.equal(stream.status, 200);
  let text = '';
  for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes('event: snapshot')) break;
  }
  return text;
}

test('token of a program opens streams', async () => {
  const { access_token } = await token(provider, CLIENT_GRANT);
  const { status, body } = await me(access_token);
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.role, 'operator');
  assert.match(await firstEvent(access_token), /event: snapshot/);
});

test('token of a user is accepted, and the ID token is refused', async () => {
  const tokens = await logIn(provider, 'grace');
  const { status, body } = await me(tokens.access_token);
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal((await me(tokens.id_token)).status, 401);
  const refreshed = await token(provider, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
  assert.equal((await me(refreshed.access_token)).body.id, body.id);
});

test('keys rotate, and known keys outlast an outage', async () => {
  const old = await token(provider, CLIENT_GRANT);
  assert.equal((await me(old.access_token)).status, 200);
  const { port } = provider;
  await provider.stop();
  // The provider is away, and its key is known.
  assert.equal((await me(old.access_token)).status, 200);
  provider = await startProvider({ port, keys: await newKeys() });
  const { access_token } = await token(provider, CLIENT_GRANT);
  // The gateway fetches keys at most once in ten seconds.
  const deadline = Date.now() + 30_000;
  let answer = await me(access_token);
  while (answer.status !== 200 && Date.now() < deadline) {
    assert.equal(answer.status, 401);
    await new Promise((resolve) => setTimeout(resolve, 500));
    answer = await me(access_token);
  }
  assert.equal(answer.status, 200);
  const next = await token(provider, CLIENT_GRANT);
  await provider.stop();
  assert.equal((await me(next.access_token)).status, 200);
  assert.match(await firstEvent(next.access_token), /event: snapshot/);
  provider = undefined;
});

test('log contains no token', async () => {
  assert.doesNotMatch(gateway.log(), /eyJ/);
});
