// A person with a browser, without the browser: keeps cookies, follows redirects, fills in the sign-in and consent pages.

import assert from "node:assert/strict";

const unescape = (text) => text.replaceAll("&#38;", "&").replaceAll("&#34;", '"').replaceAll("&#39;", "'");
const hidden = (page) =>
  Object.fromEntries([...page.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map((m) => [m[1], unescape(m[2])]));

export class Browser {
  #jar = new Map();
  /** The consent pages that were seen. */
  consents = [];

  constructor({ issuer, email, password }) {
    Object.assign(this, { issuer, email, password });
  }

  async #get(url, form) {
    const answer = await fetch(new URL(url, this.issuer), {
      method: form ? "POST" : "GET",
      body: form && new URLSearchParams(form),
      headers: {
        cookie: [...this.#jar].map(([name, value]) => `${name}=${value}`).join("; "),
        // What a browser says of a form of a page of ours.
        ...(form && { origin: this.issuer }),
      },
      redirect: "manual",
    });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split("=");
      this.#jar.set(name, value);
    }
    return answer;
  }

  /** From an authorization request, through whatever comes, to the URL that the app waits for. */
  async authorize(request, redirect) {
    let answer = await this.#get(request);
    for (let steps = 0; steps < 8; steps++) {
      const location = answer.headers.get("location");
      if (location?.startsWith(redirect)) return new URL(location);
      if (location) {
        answer = await this.#get(location);
        continue;
      }
      const page = await answer.text();
      assert.equal(answer.status, 200, page);
      const fields = hidden(page);
      if ("return_to" in fields) {
        answer = await this.#get("/login", { ...fields, email: this.email, password: this.password });
      } else {
        this.consents.push(page);
        answer = await this.#get("/authorize", { ...fields, decision: "allow" });
      }
    }
    assert.fail("the browser never came back");
  }
}
