// Grants at a certified provider: login and consent, refreshes with rotation, an outage, and the end of a grant.

import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';

import { CLIENT, basic, settings, userinfo } from './client.js';
import { startGateway } from './gateway.js';
import { Issued } from './issued.js';
import { PUBLIC_URL, link, usedStates } from './link.js';
import { PASSWORD, createPerson } from './person.js';
import { startProvider } from './provider.js';
import { pause, until } from './waiting.js';
import { claim } from './work.js';

// Lifetime of the access tokens that tests wait for.
const TTL_SECONDS = 5;

// Tokens of `lasting` outlast the tests. `outage` is stopped by its test.
const providers = { lasting: 300, brief: TTL_SECONDS, outage: TTL_SECONDS };
const issued = {};
let gateway;

before(async () => {
  for (const [name, accessTokenTtl] of Object.entries(providers)) {
    providers[name] = await startProvider({ pages: true, clients: [CLIENT], accessTokenTtl });
    issued[name] = new Issued(providers[name].provider);
  }
  gateway = await startGateway({
    STREAMGATE_SERVER__PUBLIC_URL: PUBLIC_URL,
    STREAMGATE_LOG__FILTER: 'trace',
    STREAMGATE_OAUTH__PROVIDERS: settings(providers),
  });
});

after(async () => {
  await gateway?.stop();
  for (const provider of Object.values(providers)) await provider.stop?.();
});

function assertAuthorizationRequired(problem) {
  assert.equal(problem.type, 'https://streamgate.dev/problems/authorization-required');
  assert(problem.authorization_url.startsWith(`${PUBLIC_URL}/v1/oauth/authorize?request=`), problem.authorization_url);
}

describe('grants', { concurrency: true }, () => {
  test('account is linked through login and consent of the provider', async () => {
    const owner = await createPerson(gateway, 'viewer');
    const stream = await owner.watch();
    const { visited } = await link(owner, 'ada', { name: 'lasting' });
    const { success, provider, data } = await stream.next('oauth.linked');
    assert.deepEqual({ success, provider }, { success: true, provider: 'lasting' });
    assert(data.expires_in > 290 && data.expires_in <= 300, `${data.expires_in}`);
    const grant = await owner.grant('lasting');
    assert.equal(grant.status, 'active');
    assert.equal(grant.refreshable, true);
    assert.deepEqual([...grant.scopes].sort(), ['offline_access', 'openid', 'profile']);
    // The endpoints come from the discovery document, and the browser was sent there with a PKCE challenge.
    const { issuer } = providers.lasting;
    const request = new URL(visited.find((url) => url.startsWith(`${issuer}/auth?`)));
    assert.equal(request.searchParams.get('code_challenge_method'), 'S256');
    const token = await (await claim(owner, 'lasting'))();
    assert.equal(token.access_token, issued.lasting.newest('ada').access);
    const { status, sub, preferred_username } = await userinfo(providers.lasting, token.access_token);
    assert.deepEqual({ status, sub, preferred_username }, { status: 200, sub: 'ada', preferred_username: 'ada' });
    stream.close();
  });

  test('tokens rotate in order while a stream is open', async () => {
    const owner = await createPerson(gateway, 'viewer');
    const stream = await owner.watch();
    await link(owner, 'grace', { name: 'brief' });
    await stream.next('oauth.linked');
    const getToken = await claim(owner, 'brief');
    for (let refreshes = 1; refreshes <= 3; refreshes += 1) {
      // Another kind fails, so no refresh has failed.
      const { success, data } = await stream.next('oauth.refreshed');
      assert(success && data.expires_in >= 0 && data.expires_in <= TTL_SECONDS, JSON.stringify(data));
      const token = await getToken();
      assert.deepEqual((await userinfo(providers.brief, token.access_token)).sub, 'grace');
    }
    stream.close();
    await until('one refresh for each notification', async () => {
      const events = (await owner.notifications()).filter((kind) => kind === 'oauth.refreshed').length;
      return events === issued.brief.refreshes('grace').length;
    });
    assert(issued.brief.refreshes('grace').length >= 3);
    issued.brief.assertChain('grace');
    assert.equal((await owner.grant('brief')).status, 'active');
  });

  test('without a stream, only a worker causes a refresh', async () => {
    const owner = await createPerson(gateway, 'viewer');
    const stream = await owner.watch();
    await link(owner, 'alan', { name: 'brief' });
    await stream.next('oauth.linked');
    const getToken = await claim(owner, 'brief');
    await stream.next('oauth.refreshed');
    stream.close();
    await until('no stream is open', async () => (await owner.get('/v1/connections')).items.length === 0);
    const refreshes = () => issued.brief.refreshes('alan').length;
    const atClose = refreshes();
    // One more refresh is allowed: the job reads which users have a stream, and then refreshes their grants. A refresh
    // that has begun runs to its end, because its refresh token may be used up already.
    const end = Date.now() + 2 * TTL_SECONDS * 1_000;
    while (Date.now() < end) {
      assert(refreshes() <= atClose + 1, `${refreshes() - atClose} refreshes without a stream`);
      await pause();
    }
    const { access_expires_at, status } = await owner.grant('brief');
    assert(Date.parse(access_expires_at) < Date.now(), 'the token has expired');
    assert.equal(status, 'active');
    const old = issued.brief.newest('alan').access;
    assert.equal((await userinfo(providers.brief, old)).status, 401);
    const before = refreshes();
    const { access_token } = await getToken();
    assert.notEqual(access_token, old);
    assert.equal((await userinfo(providers.brief, access_token)).sub, 'alan');
    assert.equal(refreshes(), before + 1);
    issued.brief.assertChain('alan');
  });

  test('outage fails the grant, and its end heals it', async () => {
    const owner = await createPerson(gateway, 'viewer');
    const stream = await owner.watch();
    await link(owner, 'edsger', { name: 'outage' });
    await stream.next('oauth.linked');
    await providers.outage.stop();
    const linked = await owner.grant('outage');
    const { success, data } = await stream.next('oauth.refresh_failed');
    assert.deepEqual({ success, data }, { success: false, data: { final: false } });
    assert.equal((await owner.grant('outage')).status, 'failed');
    await providers.outage.restart();
    assert.equal((await stream.next('oauth.refreshed')).success, true);
    const { id, status, created_at } = await owner.grant('outage');
    // The same grant, so nobody has logged in again.
    assert.deepEqual({ id, status, created_at }, { id: linked.id, status: 'active', created_at: linked.created_at });
    // A failure is tried three times before it is reported.
    const failures = gateway.log().split('\n').filter((line) => /cannot refresh a grant/.test(line));
    assert.equal(failures.filter((line) => line.includes(owner.id)).length, 3, failures.join('\n'));
    stream.close();
    issued.outage.assertChain('edsger');
  });

  test('grant that the provider ends needs a new login', async () => {
    const owner = await createPerson(gateway, 'viewer');
    const stream = await owner.watch();
    await link(owner, 'barbara', { name: 'brief' });
    await stream.next('oauth.linked');
    const work = { task_type: 'unclaimed', requires: ['brief'] };
    const { id } = await owner.post('/v1/tasks', work, 201);
    const { RefreshToken, Grant } = providers.brief.provider;
    const { grantId } = await RefreshToken.find(issued.brief.newest('barbara').refresh);
    await (await Grant.find(grantId)).destroy();
    const { success, data } = await stream.next('oauth.refresh_failed');
    assert.deepEqual({ success, data }, { success: false, data: { final: true } });
    assert.equal((await owner.grant('brief')).status, 'expired');
    // A refusal is final, so it is not tried again.
    assert.deepEqual(
      issued.brief.refusedRefreshes('barbara').map(({ error }) => error),
      ['invalid_grant'],
    );
    assertAuthorizationRequired(await owner.get(`/v1/tasks/${id}/stream`, 401));
    const problem = await owner.post('/v1/tasks', work, 401);
    assertAuthorizationRequired(problem);
    await link(owner, 'barbara', { url: problem.authorization_url });
    await stream.next('oauth.linked');
    assert.equal((await owner.grant('brief')).status, 'active');
    await owner.post('/v1/tasks', work, 201);
    stream.close();
  });

  test('deleted grant is revoked at the provider', async () => {
    const owner = await createPerson(gateway, 'viewer');
    await link(owner, 'donald', { name: 'lasting' });
    const { access, refresh } = issued.lasting.newest('donald');
    assert.equal((await userinfo(providers.lasting, access)).status, 200);
    const { grantId, consumed } = await providers.lasting.provider.RefreshToken.find(refresh);
    assert.equal(consumed, undefined, 'the refresh token is good until the deletion');
    await owner.delete('/v1/oauth/grants/lasting');
    assert.equal(await owner.grant('lasting'), undefined);
    assert.deepEqual(await owner.notifications(), ['oauth.linked', 'oauth.revoked']);
    assert(issued.lasting.revoked.includes(grantId));
    assert.equal((await userinfo(providers.lasting, access)).status, 401);
    const refused = await fetch(`${providers.lasting.issuer}/token`, {
      method: 'POST',
      headers: { Authorization: `Basic ${basic()}` },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refresh }),
    });
    assert.equal(refused.status, 400);
    assert.equal((await refused.json()).error, 'invalid_grant');
  });
});

test('log at its finest level contains no secret', async () => {
  // HTTP/2 has other events in the log than HTTP/1.1.
  const sent = ['state', 'code', 'cookie', 'token'].map((name) => `${name}-of-http2`);
  const [state, code, cookie, token] = sent;
  const http2 = connect(gateway.origin);
  const request = http2.request({
    ':path': `/v1/oauth/callback?${new URLSearchParams({ state, code })}`,
    cookie: `streamgate-link=${cookie}`,
    authorization: `Bearer ${token}`,
  });
  assert.match(await text(request), /Not linked/);
  http2.close();
  // The log is in order, so after this line, it has all earlier ones.
  const marker = `no-such-path-${Date.now()}`;
  await gateway.get(`/${marker}`);
  await until('the last line', () => gateway.log().includes(marker));
  const metrics = await (await gateway.get('/metrics')).text();
  assert.match(metrics, /^streamgate_log_lines_dropped_total 0$/m);
  const log = gateway.log();
  for (const target of ['reqwest::', 'hyper_util::client', 'h2::', 'sqlx::']) assert(log.includes(target), target);
  const issuedSecrets = Object.values(issued).flatMap((record) => [...record.secrets]);
  assert(issuedSecrets.length > 30 && usedStates().length >= 6, `${issuedSecrets.length}, ${usedStates().length}`);
  const clientSecrets = [CLIENT.client_secret, encodeURIComponent(CLIENT.client_secret), basic()];
  const secrets = [...issuedSecrets, ...usedStates(), ...clientSecrets, ...sent, PASSWORD];
  const lines = log.split('\n');
  assert.deepEqual(lines.filter((line) => secrets.some((secret) => line.includes(secret))), []);
  // The access tokens of the gateway itself, and ID tokens.
  assert.doesNotMatch(log, /eyJ/);
});
