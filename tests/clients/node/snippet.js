import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { TokenService } from "./gen/hallpass/v1/token_pb.js";

const transport = createConnectTransport({ baseUrl: process.env.HALLPASS, httpVersion: "1.1" });
const tokens = createClient(TokenService, transport);
const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const reply = await tokens.listTokens({ pageSize: 10 }, { headers });
for (const token of reply.tokens) {
  console.log(token.id, token.note);
}
