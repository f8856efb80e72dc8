// Passkeys: gives a page's options to the browser, and the authenticator's answer back through the page's own form.
// The form has `data-passkey` ("get" or "create") and `data-options` (JSON, bytes in base64url); the answer goes into its
// field `credential`. Without this script, or without passkeys in the browser, the form stays hidden.
(() => {
  "use strict";

  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  if (!window.PublicKeyCredential || !navigator.credentials) {
    const note = document.querySelector("[data-unsupported]");
    if (note) note.hidden = false;
    return;
  }

  const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

  const creates = form.dataset.passkey === "create";
  const problem = form.querySelector("[data-problem]");
  const field = form.elements.namedItem("credential");
  const button = form.querySelector("button");

  const readOptions = () => {
    const options = JSON.parse(form.dataset.options);
    options.challenge = toBytes(options.challenge);
    if (options.user) options.user.id = toBytes(options.user.id);
    for (const list of ["excludeCredentials", "allowCredentials"]) {
      for (const known of options[list] ?? []) known.id = toBytes(known.id);
    }
    return options;
  };

  const written = (credential) => {
    const { response } = credential;
    const answer = { clientDataJSON: toText(response.clientDataJSON) };
    if (creates) {
      answer.attestationObject = toText(response.attestationObject);
      answer.transports = response.getTransports?.() ?? [];
    } else {
      answer.authenticatorData = toText(response.authenticatorData);
      answer.signature = toText(response.signature);
      answer.userHandle = response.userHandle ? toText(response.userHandle) : null;
    }
    return JSON.stringify({ id: credential.id, rawId: toText(credential.rawId), type: credential.type, response: answer });
  };

  const send = (credential) => {
    field.value = written(credential);
    form.submit();
  };

  // Where the browser can, it offers passkeys in the e-mail field by itself. A click on the button ends that.
  let offering = null;
  const offer = async () => {
    if (creates || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    offering = new AbortController();
    try {
      send(await navigator.credentials.get({ publicKey: readOptions(), mediation: "conditional", signal: offering.signal }));
    } catch {
      // Given up for the button, or by the person: the page works as before.
    }
  };

  const words = (error) => {
    switch (error.name) {
      case "InvalidStateError":
        return "This device has a passkey for this account already.";
      case "NotAllowedError":
        return "Nothing was done: the question was closed, or it took too long.";
      default:
        return "This did not work here. Try another browser or device.";
    }
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    offering?.abort();
    problem.hidden = true;
    button.disabled = true;
    try {
      const publicKey = readOptions();
      send(creates ? await navigator.credentials.create({ publicKey }) : await navigator.credentials.get({ publicKey }));
    } catch (error) {
      problem.textContent = words(error);
      problem.hidden = false;
      button.disabled = false;
    }
  });

  form.hidden = false;
  offer();
})();
