// A user of the gateway, logged in.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { EventStream } from './event-stream.js';
import { ADMIN_PASSWORD } from './gateway.js';

/** The password of every user that a test creates. */
export const PASSWORD = 'correct horse battery staple';

// Longer than the interval between the tries of a failed grant: 30 seconds, up to a quarter more, and the refresh.
const NOTIFICATION_DEADLINE_MS = 45_000;

/** Creates a user with this role, and logs in. */
export async function createPerson(gateway, role) {
  const admin = await logIn(gateway, 'admin', ADMIN_PASSWORD);
  const username = `${role}-${randomUUID()}`;
  await admin.post('/v1/users', { username, password: PASSWORD, role }, 201);
  return logIn(gateway, username, PASSWORD);
}

/** Logs in. */
export async function logIn(gateway, username, password) {
  const response = await gateway.post('/v1/auth/login', undefined, { username, password });
  assert.equal(response.status, 200);
  const { access_token } = await response.json();
  const { id } = await (await gateway.get('/v1/auth/me', access_token)).json();
  return new Person(gateway, id, username, access_token);
}

class Person {
  constructor(gateway, id, username, token) {
    Object.assign(this, { gateway, id, username, token });
  }

  /** The same user at another gateway. */
  at(gateway) {
    return new Person(gateway, this.id, this.username, this.token);
  }

  /** Sends a request. Returns the body of the response, which must have this status. */
  async get(resource, status = 200) {
    return body(await this.gateway.get(resource, this.token), status);
  }

  async post(resource, content, status = 200) {
    return body(await this.gateway.post(resource, this.token, content), status);
  }

  async delete(resource, status = 204) {
    return body(await this.gateway.delete(resource, this.token), status);
  }

  /** The user's grant at a provider, without tokens. */
  async grant(provider) {
    const { grants } = await this.get('/v1/oauth/grants');
    return grants.find((grant) => grant.provider === provider);
  }

  /** The kinds of the user's notifications, oldest first. */
  async notifications() {
    const { items } = await this.get(`/v1/users/${this.id}/notifications?limit=200`);
    return items.map(({ kind }) => kind).reverse();
  }

  /** Opens the stream of the user's notifications. */
  async watch() {
    const stream = await EventStream.open(this.gateway, `/v1/users/${this.id}/notifications/stream`, this.token);
    return {
      /** The next notification, which must have this kind. */
      next: async (kind) => {
        const { event, data } = await stream.next(NOTIFICATION_DEADLINE_MS);
        assert.equal(event, 'notification');
        assert.equal(data.kind, kind, JSON.stringify(data));
        return data;
      },
      close: () => stream.close(),
    };
  }
}

async function body(response, status) {
  const text = await response.text();
  assert.equal(response.status, status, `${response.url}: ${text}`);
  return text && JSON.parse(text);
}
