// A site with passkeys on http://localhost, judged by npm's @simplewebauthn/server.
//
// Serves the page of ../site and four answers: /register/options,
// /register/verify, /login/options and /login/verify. Everything is forgotten
// with the process. It knows nothing of roamkey, CDP or Playwright.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import {
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from "@simplewebauthn/server";

export const RP_ID = "localhost";
const SITE = new URL("../site/", import.meta.url);
const PAGES = { "/": ["index.html", "text/html"], "/page.js": ["page.js", "text/javascript"] };
const TIMEOUT_MS = 60_000;

class Refused extends Error {
  name = "Refused";
}

class RelyingParty {
  accounts = new Map();
  origin = undefined;
  // The only ceremony that is under way: account, challenge, UV wanted.
  #pending = undefined;

  // Makes an account as if it had registered once.
  know(user, id, publicKey, counter = 0) {
    const account = { user, userID: randomBytes(16), credential: { id, publicKey, counter } };
    this.accounts.set(user, account);
    return account;
  }

  #end() {
    const pending = this.#pending;
    this.#pending = undefined;
    if (!pending) throw new Refused("no ceremony is under way");
    const { account, challenge, requireUserVerification } = pending;
    const expected = {
      expectedChallenge: challenge,
      expectedOrigin: this.origin,
      expectedRPID: RP_ID,
      requireUserVerification,
    };
    return { account, expected };
  }

  #begin(account, options, { userVerification, timeout, extensions = {} }) {
    const requireUserVerification = userVerification === "required";
    this.#pending = { account, challenge: options.challenge, requireUserVerification };
    return { ...options, timeout: timeout ?? TIMEOUT_MS, extensions };
  }

  async registerOptions(wish) {
    const account = { user: wish.user, userID: randomBytes(16) };
    const options = await generateRegistrationOptions({
      rpName: "Recipes",
      rpID: RP_ID,
      userName: account.user,
      userID: account.userID,
      authenticatorSelection: {
        residentKey: wish.residentKey,
        userVerification: wish.userVerification,
      },
    });
    return this.#begin(account, options, wish);
  }

  async registerVerify(response) {
    const { account, expected } = this.#end();
    const done = await verifyRegistrationResponse({ response, ...expected });
    if (!done.verified) throw new Refused("the registration is not verified");
    const { credential, userVerified } = done.registrationInfo;
    account.credential = credential;
    this.accounts.set(account.user, account);
    return { user: account.user, signCount: credential.counter, userVerified };
  }

  async loginOptions(wish) {
    const account = wish.user ? this.accounts.get(wish.user) : undefined;
    if (wish.user && !account) throw new Refused("nobody has this name");
    const options = await generateAuthenticationOptions({
      rpID: RP_ID,
      allowCredentials: account ? [{ id: account.credential.id }] : [],
      userVerification: wish.userVerification,
    });
    return this.#begin(account, options, wish);
  }

  async loginVerify(response) {
    const { account: named, expected } = this.#end();
    const account = named ?? this.#accountOf(response);
    const done = await verifyAuthenticationResponse({
      response,
      ...expected,
      credential: account.credential,
    });
    if (!done.verified) throw new Refused("the signature is wrong");
    const { newCounter, userVerified } = done.authenticationInfo;
    account.credential.counter = newCounter;
    return { user: account.user, signCount: newCounter, userVerified };
  }

  #accountOf({ response }) {
    for (const account of this.accounts.values()) {
      if (account.userID.toString("base64url") === response.userHandle) return account;
    }
    throw new Refused("the user handle belongs to nobody");
  }
}

// A relying party that serves on a free port of 127.0.0.1, and its server.
export async function start() {
  const party = new RelyingParty();
  const answers = {
    "/register/options": (asked) => party.registerOptions(asked),
    "/register/verify": (asked) => party.registerVerify(asked),
    "/login/options": (asked) => party.loginOptions(asked),
    "/login/verify": (asked) => party.loginVerify(asked),
  };
  const server = createServer(async (request, response) => {
    const send = (status, type, body) => {
      response.writeHead(status, { "Content-Type": type }).end(body);
    };
    if (request.method === "GET" && PAGES[request.url]) {
      const [name, type] = PAGES[request.url];
      return send(200, type, await readFile(new URL(name, SITE)));
    }
    if (request.method !== "POST" || !answers[request.url]) {
      return send(404, "text/plain", "not here");
    }
    try {
      const said = await answers[request.url](JSON.parse(await text(request)));
      return send(200, "application/json", JSON.stringify(said));
    } catch ({ name, message }) {
      return send(400, "application/json", JSON.stringify({ error: name, message }));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  party.origin = `http://${RP_ID}:${server.address().port}`;
  return { party, server };
}
