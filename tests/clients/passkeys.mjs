// Passkeys in Chromium, with the authenticator that its debugging protocol offers.
// Reads ISSUER (at localhost), EMAIL, PASSWORD and CHROMIUM (the browser's program) from the environment; ends with code 0
// and the line "all good" if everything held.

import assert from "node:assert/strict";
import process from "node:process";
import { chromium } from "playwright-core";

const { ISSUER, EMAIL, PASSWORD, CHROMIUM } = process.env;
const NAME = "Test device";

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
const problems = [];

const open = async (options = {}) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  // What breaks our policy is a message of the console. So is an answer that is no success, which is no fault here.
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  return page;
};

const withPassword = async (page) => {
  await page.goto(`${ISSUER}/login`);
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(`${ISSUER}/dashboard`);
};

const signOut = async (page) => {
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(`${ISSUER}/login`);
};

const page = await open();
// Chromium's authenticator answers the question in the e-mail field by itself. Only where a test is about that may it ask.
await page.addInitScript(() => {
  if (window.name !== "asks by itself") PublicKeyCredential.isConditionalMediationAvailable = async () => false;
});
const protocol = await page.context().newCDPSession(page);
await protocol.send("WebAuthn.enable", { enableUI: false });
const { authenticatorId } = await protocol.send("WebAuthn.addVirtualAuthenticator", {
  options: {
    protocol: "ctap2",
    ctap2Version: "ctap2_1",
    transport: "internal",
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  },
});
const credentials = async () => (await protocol.send("WebAuthn.getCredentials", { authenticatorId })).credentials;

// Add one: it stays in the authenticator, which keeps whose it is.
await withPassword(page);
await page.goto(`${ISSUER}/account/passkeys`);
const name = page.getByLabel("Name, to tell it from others");
assert.match(await name.inputValue(), /Chrome on/);
await name.fill(NAME);
await page.getByRole("button", { name: "Add a passkey" }).click();
await page.getByText("Never used").waitFor();
assert.equal(await page.getByText(NAME, { exact: true }).count(), 1);
const [made] = await credentials();
assert.equal(made.isResidentCredential, true);
assert.equal(made.rpId, "localhost");

// The same device adds no second one, and the page says why.
await page.goto(`${ISSUER}/account/passkeys`);
await page.getByRole("button", { name: "Add a passkey" }).click();
await page.getByText("This device has a passkey for this account already.").waitFor();

// Sign in by the button: nothing is typed.
await signOut(page);
assert.equal(await page.getByLabel("E-mail address").getAttribute("autocomplete"), "username webauthn");
const button = page.getByRole("button", { name: "Sign in with a passkey" });
await button.click();
await page.waitForURL(`${ISSUER}/dashboard`);
await page.getByRole("link", { name: EMAIL }).waitFor();
assert.ok((await credentials())[0].signCount > made.signCount);
await page.goto(`${ISSUER}/account/passkeys`);
await page.getByText("Last used").waitFor();

// Where the browser can ask by itself, not even the button is needed.
await page.evaluate(() => {
  window.name = "asks by itself";
});
await page.getByRole("button", { name: "Sign out" }).click();
await page.waitForURL(`${ISSUER}/dashboard`);
await page.getByRole("link", { name: EMAIL }).waitFor();
await page.evaluate(() => {
  window.name = "";
});

// Without the person's finger or PIN it is no second factor, so it is none at all.
await signOut(page);
await protocol.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
await button.click();
await page.getByText("Nothing was done").waitFor();
assert.equal(new URL(page.url()).pathname, "/login");
await protocol.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });

// Once it is removed here, what the device has is of no use.
await withPassword(page);
await page.goto(`${ISSUER}/account/passkeys`);
await page.getByRole("button", { name: `Remove the passkey ${NAME}` }).click();
await page.getByText(NAME, { exact: true }).waitFor({ state: "detached" });
await signOut(page);
await button.click();
await page.getByText("The passkey did not work").waitFor();

// A browser without JavaScript: no passkeys, everything else.
const plain = await open({ javaScriptEnabled: false });
await plain.goto(`${ISSUER}/login`);
assert.equal(await plain.getByRole("button", { name: "Sign in with a passkey" }).count(), 0);
await withPassword(plain);
await plain.goto(`${ISSUER}/account/passkeys`);
assert.equal(await plain.getByRole("button", { name: "Add a passkey" }).count(), 0);
assert.match(await plain.locator("noscript").textContent(), /allow JavaScript for this page/);

assert.deepEqual(problems, []);
await browser.close();
console.log("all good");
