// The record of a provider: what it has issued, and which requests for tokens it has refused. Kept from its own events.

import assert from 'node:assert/strict';

export class Issued {
  #owners = new Map();

  /** Every successful request for tokens: the account, the grant type, the refresh tokens before and after it. */
  exchanges = [];

  /** Every refused request for tokens. */
  refusals = [];

  /** The ids of the grants that the provider has revoked. */
  revoked = [];

  /** Every code, token and PKCE verifier. */
  secrets = new Set();

  constructor(provider) {
    for (const kind of ['access_token', 'refresh_token', 'authorization_code']) {
      provider.on(`${kind}.saved`, ({ jti }) => this.secrets.add(jti));
    }
    provider.on('grant.success', ({ body, oidc }) => {
      const { params } = oidc;
      const account = oidc.entities.Account.accountId;
      const { access_token: access, refresh_token: refresh, id_token: identity } = body;
      for (const secret of [access, refresh, identity, params.code, params.code_verifier]) {
        if (secret) this.secrets.add(secret);
      }
      this.#owners.set(refresh, account);
      const before = params.refresh_token;
      this.exchanges.push({ account, type: params.grant_type, before, access, refresh });
    });
    provider.on('grant.error', ({ oidc }, error) => {
      const { grant_type: type, refresh_token: before } = oidc.params;
      this.refusals.push({ account: this.#owners.get(before), type, before, error: error.error });
    });
    provider.on('grant.revoked', (_, grant) => this.revoked.push(grant));
  }

  /** The successful refreshes of an account. */
  refreshes(account) {
    return this.exchanges.filter((exchange) => exchange.account === account && exchange.type === 'refresh_token');
  }

  /** The refused refreshes of an account. */
  refusedRefreshes(account) {
    return this.refusals.filter((refusal) => refusal.account === account && refusal.type === 'refresh_token');
  }

  /** The newest tokens of an account. */
  newest(account) {
    return this.exchanges.findLast((exchange) => exchange.account === account);
  }

  /**
   * Asserts that each refresh of an account has used the refresh token of the exchange before it, and that the provider
   * has refused none. A used token that comes again is refused, and ends the grant.
   */
  assertChain(account) {
    const [first, ...chain] = this.exchanges.filter((exchange) => exchange.account === account);
    assert.equal(first.type, 'authorization_code');
    const used = new Set([first.refresh]);
    let { refresh } = first;
    for (const { type, before, refresh: after } of chain) {
      assert.deepEqual({ type, before }, { type: 'refresh_token', before: refresh });
      assert(!used.has(after), 'each refresh gives a new refresh token');
      used.add(after);
      refresh = after;
    }
    assert.deepEqual(this.refusedRefreshes(account), []);
  }
}
