// A browser that is a cookie jar: signs a person in at ISSUER, agrees to what is asked, and ends where the app waits.

import assert from "node:assert/strict";

const unescape = (text) => text.replaceAll("&#38;", "&").replaceAll("&#34;", '"').replaceAll("&#39;", "'");
const hidden = (page) =>
  Object.fromEntries([...page.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map((m) => [m[1], unescape(m[2])]));

// From an authorization request to the URL that the app gets back.
export async function authorize(request, { issuer, redirect, email, password }) {
  const jar = new Map();
  const browse = async (url, form) => {
    const answer = await fetch(new URL(url, issuer), {
      method: form ? "POST" : "GET",
      body: form && new URLSearchParams(form),
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; "), ...(form && { origin: issuer }) },
      redirect: "manual",
    });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split("=");
      jar.set(name, value);
    }
    return answer;
  };
  let answer = await browse(request);
  for (let steps = 0; steps < 8; steps++) {
    const location = answer.headers.get("location");
    if (location?.startsWith(redirect)) return new URL(location);
    if (location) {
      answer = await browse(location);
      continue;
    }
    const page = await answer.text();
    assert.equal(answer.status, 200, page);
    const fields = hidden(page);
    answer = "return_to" in fields
      ? await browse("/login", { ...fields, email, password })
      : await browse("/authorize", { ...fields, decision: "allow" });
  }
  throw new Error("the browser did not come back");
}
