// Does what check_chromium.py asks for, one task after the other, and sends
// back the credential as JSON, which is what relying party libraries read.
"use strict";

const calls = {
  create: (options) => navigator.credentials.create({
    publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
  }),
  get: (options) => navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
  }),
};

async function perform(task) {
  try {
    const credential = await calls[task.action](task.options);
    return { credential: credential.toJSON() };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

async function serve() {
  const state = document.getElementById("state");
  for (;;) {
    const task = await (await fetch("/task")).json();
    if (task === null) continue;
    state.textContent = task.action;
    const result = await perform(task);
    await fetch("/result", { method: "POST", body: JSON.stringify(result) });
    state.textContent = "waiting for a task";
  }
}

serve();
