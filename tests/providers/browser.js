// A browser without scripts: it keeps cookies, follows redirects, and submits the form of a page.

import assert from 'node:assert/strict';

const MAX_REDIRECTS = 10;

export class Browser {
  #cookies = [];
  #origins;

  /** Every URL that was opened, redirects included. */
  visited = [];

  /** URL and text of the page that is shown. */
  url = '';
  text = '';

  /** `origins` maps an origin that URLs have to the origin that the requests go to, like the hosts file of a machine. */
  constructor(origins = {}) {
    this.#origins = new Map(Object.entries(origins));
  }

  /** Opens a URL. */
  async open(url) {
    await this.#load(url, { method: 'GET' });
  }

  /** Submits the only form of the page with these values. Other fields keep their values. */
  async submit(values = {}) {
    const forms = [...this.text.matchAll(/<form[^>]*>/g)];
    assert.equal(forms.length, 1, `a page with one form: ${this.url}\n${this.text}`);
    const form = attributes(forms[0][0]);
    assert.equal(form.get('method'), 'post');
    const fields = new Map();
    for (const [input] of this.text.matchAll(/<input[^>]*>/g)) {
      const field = attributes(input);
      fields.set(field.get('name'), field.get('value') ?? '');
    }
    for (const [name, value] of Object.entries(values)) {
      assert(fields.has(name), `no field ${name}: ${this.url}\n${this.text}`);
      fields.set(name, value);
    }
    const headers = { Origin: new URL(this.url).origin };
    const target = new URL(form.get('action'), this.url).href;
    await this.#load(target, { method: 'POST', headers, body: new URLSearchParams([...fields]) });
  }

  async #load(url, request) {
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      this.visited.push(url);
      const response = await this.#send(url, request);
      const location = response.headers.get('location');
      if (!location) {
        Object.assign(this, { url, text: await response.text() });
        assert.equal(response.status, 200, `${url}: ${this.text}`);
        return;
      }
      assert([302, 303].includes(response.status), `${url}: ${response.status}`);
      await response.body?.cancel();
      url = new URL(location, url).href;
      request = { method: 'GET' };
    }
    assert.fail(`too many redirects: ${this.visited.join('\n')}`);
  }

  async #send(url, { headers, ...request }) {
    const { origin, hostname, pathname, href } = new URL(url);
    const sent = this.#cookies.filter(({ host, path }) => host === hostname && pathname.startsWith(path));
    const cookie = sent.map(({ name, value }) => `${name}=${value}`).join('; ');
    const target = href.replace(origin, this.#origins.get(origin) ?? origin);
    const response = await fetch(target, {
      ...request,
      headers: { ...headers, Accept: 'text/html', ...(cookie && { Cookie: cookie }) },
      redirect: 'manual',
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line, hostname);
    return response;
  }

  // Keeps a cookie, or removes it (RFC 6265, section 5.3). A host has its cookies on all ports.
  #keep(line, host) {
    const [pair, ...rest] = line.split(';').map((part) => part.trim());
    const [, name, value] = pair.match(/^([^=]*)=(.*)$/);
    const options = new Map(rest.map((part) => [part.split('=')[0].toLowerCase(), part.split('=')[1]]));
    const path = options.get('path') ?? '/';
    const isOther = (known) => known.host !== host || known.path !== path || known.name !== name;
    this.#cookies = this.#cookies.filter(isOther);
    const isOver = options.get('max-age') === '0' || Date.parse(options.get('expires') ?? '') < Date.now();
    if (!isOver) this.#cookies.push({ host, path, name, value });
  }
}

function attributes(tag) {
  return new Map([...tag.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, unescape(value)]));
}

function unescape(text) {
  return text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&amp;', '&');
}
