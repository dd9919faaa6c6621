// The page: sign in with a password, then create, list and delete tokens. The token it works with stays in
// memory: reloading signs out.

import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { explain } from "./errors";
import { type Token } from "./gen/hallpass/v1/token_pb";
import { tokenService } from "./hallpass";
import { transports } from "./transports";

const PAGE_SIZE = 2;
const DAY_MS = 86_400_000;

let token = "";
let next = "";

function find<T extends Element>(selector: string, type: new () => T): T {
  const element = document.querySelector(selector);
  if (element instanceof type) {
    return element;
  }
  throw new Error(`the page has no ${selector}`);
}

const server = find("#server", HTMLInputElement);
const protocol = find("#protocol", HTMLSelectElement);
const message = find("#message", HTMLOutputElement);
const rows = find("#tokens tbody", HTMLTableSectionElement);
const more = find("#more", HTMLButtonElement);
const created = find("#created", HTMLOutputElement);

function tokens() {
  return tokenService(server.value, token, transports[protocol.value]);
}

/** Runs an action on an event; what goes wrong is shown. */
function on(element: Element, event: string, action: () => Promise<void>): void {
  element.addEventListener(event, (happened) => {
    happened.preventDefault();
    message.value = "…";
    action().then(
      () => (message.value = "Done."),
      (reason: unknown) => (message.value = explain(reason)),
    );
  });
}

function inDays(days: number) {
  return timestampFromMs(Date.now() + days * DAY_MS);
}

function show({ id, note, createTime }: Token): void {
  const row = rows.insertRow();
  row.insertCell().textContent = id;
  row.insertCell().textContent = note;
  row.insertCell().textContent = createTime ? timestampDate(createTime).toLocaleString() : "";
  const button = document.createElement("button");
  button.textContent = "Delete";
  on(button, "click", async () => {
    await tokens().deleteToken({ tokenId: id });
    row.remove();
  });
  row.insertCell().append(button);
}

async function list(pageToken: string): Promise<void> {
  const page = await tokens().listTokens({ pageSize: PAGE_SIZE, pageToken });
  if (pageToken === "") {
    rows.replaceChildren();
  }
  page.tokens.forEach(show);
  next = page.nextPageToken;
  more.disabled = next === "";
}

const username = find("#username", HTMLInputElement);
const password = find("#password", HTMLInputElement);
const note = find("#note", HTMLInputElement);

on(find("#sign-in", HTMLFormElement), "submit", async () => {
  token = "";
  const reply = await tokens().createToken({
    username: username.value,
    password: password.value,
    note: "the web example",
    expireTime: inDays(90),
  });
  token = reply.token;
  password.value = "";
  await list("");
});
on(find("#create", HTMLFormElement), "submit", async () => {
  // It is the child of the token that the page works with, so it may not outlive that.
  const reply = await tokens().createToken({ note: note.value, expireTime: inDays(30) });
  created.value = reply.token;
  await list("");
});
on(find("#refresh", HTMLButtonElement), "click", () => list(""));
on(more, "click", () => list(next));

for (const name of Object.keys(transports)) {
  protocol.add(new Option(name));
}
