// What a test calls: register({...}) and signIn({...}). Both ask the site for
// options, the browser for a credential, and the site what it thinks of it.
// They resolve to {ok: true, ...}, or to who refused: the browser or the site.
"use strict";

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

async function ceremony(kind, wish, call) {
  const options = await post(`/${kind}/options`, wish);
  if (options.status !== 200) return refused("site", options.body);
  let credential;
  try {
    credential = (await call(options.body)).toJSON();
  } catch (error) {
    return refused("browser", { error: error.name, message: error.message });
  }
  const verdict = await post(`/${kind}/verify`, credential);
  if (verdict.status !== 200) return refused("site", verdict.body);
  return { ok: true, ...verdict.body, extensions: credential.clientExtensionResults };
}

function refused(by, { error, message }) {
  return { ok: false, by, error, message };
}

// wish: {user, residentKey, userVerification, extensions}
function register(wish) {
  return ceremony("register", wish, (options) => navigator.credentials.create({
    publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
  }));
}

// wish: {user, userVerification, extensions}; without a user, whoever the
// authenticator knows.
function signIn(wish) {
  return ceremony("login", wish, (options) => navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
  }));
}
