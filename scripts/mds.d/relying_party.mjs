// @simplewebauthn/server's MetadataService, which downloads the BLOBs from a server here, and the
// registrations that check.py has made.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const [libraries, work] = process.argv.slice(2);
// It is installed elsewhere than this file is.
const require = createRequire(`${libraries}/`);
const { MetadataService, SettingsService, verifyRegistrationResponse } = require(
    "@simplewebauthn/server",
);
const { verifyMDSBlob } = require("@simplewebauthn/server/helpers");

const read = (name) => readFileSync(`${work}/${name}`, "utf8");
const made = JSON.parse(read("registrations.json"));
const ENTERPRISE = "78d59ee3-1b33-429c-ab4f-989852b02598";

const server = createServer((request, response) => response.end(read(request.url.slice(1)).trim()));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = (name) => `http://127.0.0.1:${server.address().port}/${name}.jwt`;

// Without this it would trust the FIDO Alliance alone.
SettingsService.setRootCertificates({ identifier: "mds", certificates: [read("root.pem")] });

// Forgets what it knew, and learns this BLOB.
async function learn(name) {
    await MetadataService.initialize({ mdsServers: [url(name)], verificationMode: "strict" });
}

function register(name) {
    const { challenge, response } = made[name];
    return verifyRegistrationResponse({
        response,
        expectedChallenge: challenge,
        expectedOrigin: "https://example.com",
        expectedRPID: "example.com",
        requireUserVerification: false,
    });
}

async function accepts(name) {
    const { verified, registrationInfo } = await register(name);
    assert.equal(verified, true, name);
    return registrationInfo;
}

await learn("good");
const info = await accepts("work");
assert.equal(info.aaguid, ENTERPRISE);
assert.equal(info.fmt, "packed");
const statement = await MetadataService.getStatement(ENTERPRISE);
assert.equal(statement.description, "roamkey enterprise key");
await assert.rejects(register("stranger"), /No metadata statement found/);
console.log("mds: @simplewebauthn/server accepts the enterprise's, and no unknown AAGUID");

await learn("everything");
await accepts("stranger");
await accepts("plain");

for (const name of ["compromised", "bypass"]) {
    await learn(name);
    await assert.rejects(register("work"), /Detected compromised aaguid/, name);
}
console.log("mds: @simplewebauthn/server refuses compromised models");

// It does not look for REVOKED, so a site that cares has to: the BLOB that it verified shows it.
await learn("revoked");
await accepts("work");
const { payload } = await verifyMDSBlob(read("revoked.jwt").trim());
const entry = payload.entries.find((entry) => entry.aaguid === ENTERPRISE);
assert.deepEqual(entry.statusReports.map((report) => report.status), ["REVOKED"]);
console.log("mds: @simplewebauthn/server shows REVOKED, and leaves it to the site");

// A BLOB of another authority is not taken, so nothing in it is known.
SettingsService.setRootCertificates({
    identifier: "mds",
    certificates: [readFileSync(`${work}/other/root.pem`, "utf8")],
});
await learn("good");
await assert.rejects(register("work"), /No metadata statement found/);
console.log("mds: @simplewebauthn/server takes no BLOB under another root");
server.close();
