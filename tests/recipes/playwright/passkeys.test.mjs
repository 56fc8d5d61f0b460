// Passkeys of a site, tested with Playwright and the virtual authenticators of
// the Chrome DevTools Protocol. No line here knows roamkey.
//
// Run it against any Chromium with an open debugging port:
//
//     npm ci
//     chromium --headless=new --remote-debugging-port=9222 --user-data-dir="$(mktemp -d)" &
//     node --test passkeys.test.mjs
//
// Environment:
//   CDP_URL   where Chromium's debugging port answers  (http://127.0.0.1:9222)

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isoCBOR } from "@simplewebauthn/server/helpers";
import { chromium } from "playwright-core";
import { RP_ID, start } from "./relying_party.mjs";

const CDP_URL = process.env.CDP_URL ?? "http://127.0.0.1:9222";
// An emulated machine takes its time.
const LIMIT_MS = 120_000;
const EVENTS = ["credentialAdded", "credentialAsserted", "credentialDeleted", "credentialUpdated"];

let browser, page, site, cdp, events;

before(async () => {
  browser = await chromium.connectOverCDP(CDP_URL, { timeout: LIMIT_MS });
  const [context] = browser.contexts();
  page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  cdp = await context.newCDPSession(page);
  for (const name of EVENTS) {
    cdp.on(`WebAuthn.${name}`, (event) => events.push({ name, ...event }));
  }
}, { timeout: LIMIT_MS });

after(async () => {
  await page?.close();
  await browser?.close();
});

// A relying party without accounts for each test, its page in the browser, and no authenticators.
beforeEach(async () => {
  site = await start();
  await page.goto(`${site.party.origin}/`);
  events = [];
  await cdp.send("WebAuthn.enable");
});

afterEach(async () => {
  await cdp.send("WebAuthn.disable");
  site.server.closeAllConnections();
  site.server.close();
});

async function addAuthenticator(differing = {}) {
  const options = {
    protocol: "ctap2",
    ctap2Version: "ctap2_1",
    transport: "usb",
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
    ...differing,
  };
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options });
  const send = (method, more = {}) => cdp.send(`WebAuthn.${method}`, { authenticatorId, ...more });
  return { authenticatorId, send };
}

// What a function of the page resolves to.
function call(name, wish) {
  return page.evaluate(([name, wish]) => globalThis[name](wish), [name, wish]);
}

const register = (user, differing = {}) =>
  call("register", { user, residentKey: "required", userVerification: "required", ...differing });
const signIn = (user, differing = {}) =>
  call("signIn", { user, userVerification: "required", ...differing });

function accepted(done, what) {
  assert.ok(done.ok, `${what}: the ${done.by} said ${done.error}: ${done.message}`);
  return done;
}

function refused(done, what, by, error) {
  assert.ok(!done.ok, `${what} was accepted: ${JSON.stringify(done)}`);
  const otherwise = `${what}: refused otherwise: ${done.message}`;
  assert.deepEqual([done.by, done.error], [by, error], otherwise);
  return done.message;
}

// The events of a name, as soon as there are so many.
async function eventually(name, count) {
  const found = () => events.filter((event) => event.name === name);
  for (let tries = 0; tries < 100 && found().length < count; tries += 1) await sleep(50);
  const names = events.map((event) => event.name).join(", ");
  const said = `${name} should have come ${count} times; there came: ${names}`;
  assert.equal(found().length, count, said);
  return found();
}

// CDP's base64 as the base64url of browsers.
const urlSafe = (base64) => Buffer.from(base64, "base64").toString("base64url");

// A private key on P-256: as PKCS#8 in CDP's base64, and its public half as a COSE_Key.
function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x, y } = publicKey.export({ format: "jwk" });
  const cose = new Map([[1, 2], [3, -7], [-1, 1]]);
  cose.set(-2, new Uint8Array(Buffer.from(x, "base64url")));
  cose.set(-3, new Uint8Array(Buffer.from(y, "base64url")));
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" }).toString("base64");
  return { pkcs8, cose: isoCBOR.encode(cose) };
}

// What addCredential takes, for an account that the site knows by `know`.
function credentialOf(account, pkcs8, signCount, differing = {}) {
  return {
    credentialId: Buffer.from(account.credential.id, "base64url").toString("base64"),
    isResidentCredential: true,
    rpId: RP_ID,
    privateKey: pkcs8,
    userHandle: account.userID.toString("base64"),
    signCount,
    ...differing,
  };
}

test("a registration is verified, and is on the authenticator", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  const done = accepted(await register("alice"), "registration");
  assert.ok(done.userVerified, "the authenticator did not say that it verified the user");
  const { credentials } = await authenticator.send("getCredentials");
  assert.equal(credentials.length, 1, "credentials on the authenticator");
  const [held] = credentials;
  assert.equal(urlSafe(held.credentialId), site.party.accounts.get("alice").credential.id);
  assert.ok(held.isResidentCredential, "a passkey was asked for, and is not discoverable");
  assert.equal(held.rpId, RP_ID);
  const [added] = await eventually("credentialAdded", 1);
  assert.equal(added.authenticatorId, authenticator.authenticatorId);
  assert.equal(added.credential.credentialId, held.credentialId);
});

test("a discoverable login finds the user", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  const first = accepted(await signIn(), "sign-in without a user name");
  assert.equal(first.user, "alice");
  const second = accepted(await signIn(), "second sign-in");
  assert.ok(second.signCount > first.signCount, "the signature counter stands still");
  const asserted = await eventually("credentialAsserted", 2);
  assert.equal(asserted[1].authenticatorId, authenticator.authenticatorId);
  assert.equal(asserted[1].credential.signCount, second.signCount);
});

test("a second factor needs no passkey and no verification", { timeout: LIMIT_MS }, async () => {
  const lacks = { hasResidentKey: false, hasUserVerification: false, isUserVerified: false };
  await addAuthenticator(lacks);
  const plain = { residentKey: "discouraged", userVerification: "discouraged" };
  const done = accepted(await register("bob", plain), "registration");
  assert.ok(!done.userVerified, "the user was verified by what cannot verify");
  accepted(await signIn("bob", plain), "sign-in");
});

test("PRF is the same for the same salt", { timeout: LIMIT_MS }, async () => {
  await addAuthenticator({ hasPrf: true });
  const made = accepted(await register("alice", { extensions: { prf: {} } }), "registration");
  assert.equal(made.extensions.prf?.enabled, true, "prf.enabled at registration");
  const found = [];
  for (const salt of ["salt", "salt", "mine"]) {
    const first = Buffer.from(salt.repeat(8)).toString("base64url");
    const done = await signIn("alice", { extensions: { prf: { eval: { first } } } });
    found.push(accepted(done, "sign-in with PRF").extensions.prf.results.first);
  }
  assert.equal(Buffer.from(found[0], "base64url").length, 32, "bytes of the output");
  assert.equal(found[0], found[1], "the same salt gives two outputs");
  assert.notEqual(found[0], found[2], "two salts give one output");
});

test("a wrong signature is refused by the site", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  await authenticator.send("setResponseOverrideBits", { isBogusSignature: true });
  refused(await signIn(), "a bogus signature", "site", "Refused");
  await authenticator.send("setResponseOverrideBits", { isBogusSignature: false });
  accepted(await signIn(), "sign-in with right signatures again");
});

test("missing flags are refused", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  for (const bit of ["isBadUV", "isBadUP"]) {
    await authenticator.send("setResponseOverrideBits", { [bit]: true });
    const done = await signIn();
    // A browser may look at the flags before the site does.
    assert.ok(!done.ok, `a response with ${bit} was accepted`);
    await authenticator.send("setResponseOverrideBits", { [bit]: false });
    accepted(await signIn(), `sign-in after ${bit}`);
  }
});

test("a counter that goes back is refused by the site", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  const { pkcs8, cose } = newKey();
  const id = randomBytes(32).toString("base64url");
  const account = site.party.know("dave", id, cose, 10);
  const credential = credentialOf(account, pkcs8, 40);
  await authenticator.send("addCredential", { credential });
  const before = accepted(await signIn(), "sign-in while the counter rises").signCount;
  assert.ok(before >= 40, `the counter of what was put in with 40 is ${before}`);
  await authenticator.send("removeCredential", { credentialId: credential.credentialId });
  const [deleted] = await eventually("credentialDeleted", 1);
  assert.equal(deleted.credentialId, credential.credentialId);
  // A clone of it, made earlier.
  await authenticator.send("addCredential", { credential: { ...credential, signCount: 20 } });
  const said = refused(await signIn(), "a counter that went back", "site", "Error");
  assert.match(said, /counter/, "the site refused for another reason");
  assert.equal(account.credential.counter, before);
});

test("an injected credential with a short id signs in", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  const { pkcs8, cose } = newKey();
  const account = site.party.know("erin", Buffer.from([42]).toString("base64url"), cose);
  const credential = credentialOf(account, pkcs8, 7, { isResidentCredential: false });
  delete credential.userHandle;
  await authenticator.send("addCredential", { credential });
  const done = accepted(await signIn("erin"), "sign-in with what was put in");
  assert.ok(done.signCount >= 7, `7 was put in, and after a use it is ${done.signCount}`);
  const { credentialId } = credential;
  const held = (await authenticator.send("getCredential", { credentialId })).credential;
  assert.equal(held.isResidentCredential, false);
  assert.equal(held.privateKey, pkcs8, "the private key that comes out is another one");
});

test("a credential's backup flags can be set", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  const [{ credentialId }] = (await authenticator.send("getCredentials")).credentials;
  const flags = { backupEligibility: true, backupState: true };
  await authenticator.send("setCredentialProperties", { credentialId, ...flags });
  const { credential } = await authenticator.send("getCredential", { credentialId });
  assert.deepEqual([credential.backupEligibility, credential.backupState], [true, true]);
});

test("credentials are removed by one and all", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  for (const user of ["alice", "bob", "carol"]) {
    accepted(await register(user), `registration of ${user}`);
  }
  const ids = async () => {
    const { credentials } = await authenticator.send("getCredentials");
    return credentials.map((one) => urlSafe(one.credentialId));
  };
  const bob = site.party.accounts.get("bob").credential.id;
  assert.equal((await ids()).length, 3);
  const credentialId = Buffer.from(bob, "base64url").toString("base64");
  await authenticator.send("removeCredential", { credentialId });
  const left = await ids();
  assert.ok(left.length === 2 && !left.includes(bob), `bob's was removed, and left is ${left}`);
  await authenticator.send("clearCredentials");
  assert.deepEqual(await ids(), []);
  await eventually("credentialDeleted", 3);
});

test("an unverified user is refused by the browser", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  await authenticator.send("setUserVerified", { isUserVerified: false });
  refused(await signIn("alice"), "a user who is not verified", "browser", "NotAllowedError");
  await authenticator.send("setUserVerified", { isUserVerified: true });
  accepted(await signIn("alice"), "sign-in of a user who is verified again");
});

test("without a touch a sign-in ends with its time", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  await authenticator.send("setAutomaticPresenceSimulation", { enabled: false });
  refused(await signIn("alice", { timeout: 3000 }), "no touch", "browser", "NotAllowedError");
  await authenticator.send("setAutomaticPresenceSimulation", { enabled: true });
  accepted(await signIn("alice"), "sign-in with touches again");
});

test("an authenticator that was removed is gone", { timeout: LIMIT_MS }, async () => {
  const authenticator = await addAuthenticator();
  accepted(await register("alice"), "registration");
  await authenticator.send("removeVirtualAuthenticator");
  await assert.rejects(authenticator.send("getCredentials"), /authenticator/i);
  const done = await signIn("alice", { timeout: 3000 });
  refused(done, "no authenticator", "browser", "NotAllowedError");
});
