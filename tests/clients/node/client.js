// Tests connect-node and connect-web (in Node.js) against Hallpass. Prints one line per check, which tests/clients/run
// counts.

import { readFileSync } from "node:fs";
import { Code, createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { check as report, refused } from "./checks.js";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { AuthnService } from "./gen/hallpass/v1/authn_pb.js";
import { TokenService } from "./gen/hallpass/v1/token_pb.js";

const baseUrl = process.env.HALLPASS;
const password = readFileSync(process.env.PASSWORD_FILE, "utf8").trim();

// The encodings of the last request and response.
const seen = { sent: "", received: "" };
const encoding = (headers) => headers.get("content-encoding") ?? headers.get("grpc-encoding") ?? "identity";
const watch = (next) => async (request) => {
  const reply = await next(request);
  seen.sent = encoding(request.header);
  seen.received = encoding(reply.header);
  return reply;
};

const gzip = {
  baseUrl,
  interceptors: [watch],
  acceptCompression: [node.compressionGzip],
  sendCompression: node.compressionGzip,
  compressMinBytes: 256,
};
const plain = { baseUrl, interceptors: [watch] };

const transports = {
  "connect-node, Connect": node.createConnectTransport({ ...gzip, httpVersion: "1.1" }),
  "connect-node, Connect JSON, HTTP/2": node.createConnectTransport({
    ...gzip,
    httpVersion: "2",
    useBinaryFormat: false,
    useHttpGet: true,
  }),
  "connect-node, gRPC": node.createGrpcTransport({ ...gzip, httpVersion: "2" }),
  "connect-node, gRPC-web": node.createGrpcWebTransport({ ...gzip, httpVersion: "1.1" }),
  "connect-web, Connect JSON": web.createConnectTransport({ ...plain, useHttpGet: true }),
  "connect-web, Connect": web.createConnectTransport({ ...plain, useBinaryFormat: true }),
  "connect-web, gRPC-web": web.createGrpcWebTransport(plain),
};

const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });

async function session(name, transport) {
  const tokens = createClient(TokenService, transport);
  const users = createClient(AuthnService, transport);
  const check = (what, expected, got) => report(`${name}: ${what}`, expected, got);
  const byPassword = { username: "admin", password, note: "by password" };

  const { token, metadata } = await tokens.createToken(byPassword);
  const { user } = await users.getCurrentUser({}, bearer(token));
  check("creates a token by password", "admin", user.username);

  const child = await tokens.createToken({ note: "by token" }, bearer(token));
  const tokenId = child.metadata.id;
  const got = await tokens.getToken({ tokenId }, bearer(token));
  check("creates a token by token, gets it", "by token", got.token.note);
  const list = await tokens.listTokens({}, bearer(token));
  check("lists it", true, list.tokens.some(({ id }) => id === tokenId));
  const deleted = await tokens.deleteToken({ tokenId }, bearer(token));
  check("deletes it", 0, deleted.deletedChildren);
  const dead = await refused(tokens.listTokens({}, bearer(child.token)));
  check("is then unauthenticated", Code.Unauthenticated, dead.code);

  const wrong = await refused(tokens.getToken({}, bearer(token)));
  const [info] = wrong.findDetails(ErrorInfoSchema);
  const [bad] = wrong.findDetails(BadRequestSchema);
  check(
    "reads an error's reason and field",
    [Code.InvalidArgument, "INVALID_FIELD", "token_id"],
    [wrong.code, info?.reason, bad?.fieldViolations[0].field],
  );

  for (const note of ["1", "2", "3"]) {
    await tokens.createToken({ note }, bearer(token));
  }
  const sizes = [];
  let pageToken = "";
  do {
    const page = await tokens.listTokens({ pageSize: 2, pageToken }, bearer(token));
    sizes.push(page.tokens.length);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && sizes.length < 5);
  check("walks pages of 2 over 5 tokens", [2, 2, 1], sizes);

  const late = await refused(tokens.createToken(byPassword, { timeoutMs: 2 }));
  check("keeps a deadline", Code.DeadlineExceeded, late.code);

  const long = await tokens.createToken({ note: "x".repeat(1000) }, bearer(token));
  // connect-web leaves compression to fetch, which sends none and hides the encoding of responses.
  if (name.startsWith("connect-node")) {
    check("sends gzip", ["gzip", 1000], [seen.sent, long.metadata.note.length]);
    check("receives gzip", "gzip", seen.received);
  }

  // Leaves nothing for the next transport: child tokens are deleted with their parent.
  await tokens.deleteToken({ tokenId: metadata.id }, bearer(token));
}

for (const [name, transport] of Object.entries(transports)) {
  await session(name, transport);
}
// Idle HTTP/2 connections would keep the process alive.
process.exit(0);
