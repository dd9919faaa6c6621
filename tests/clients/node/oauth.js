// Tests oauth4webapi and openid-client, which builds on it, against Hallpass: metadata, introspection, revocation.
// Prints one line per check, which tests/clients/run counts.

import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { check, refused } from "./checks.js";

const issuer = new URL(process.env.HALLPASS);
const secret = process.env.TOKEN;
// The test's server has no TLS.
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: "my service" };

async function make(fields) {
  const reply = await fetch(new URL("/hallpass.v1.TokenService/CreateToken", issuer), {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${secret}` },
    body: JSON.stringify(fields),
  });
  return (await reply.json()).token;
}

const found = await oauth.discoveryRequest(issuer, { ...insecure, algorithm: "oauth2" });
// It refuses a document with another issuer or with an invalid address.
const server = await oauth.processDiscoveryResponse(new URL(process.env.HALLPASS), found).catch((error) => error);
check("oauth4webapi: reads the metadata", process.env.HALLPASS, server.issuer?.replace(/\/$/, ""));

const ways = {
  client_secret_basic: oauth.ClientSecretBasic,
  client_secret_post: oauth.ClientSecretPost,
};
for (const [name, way] of Object.entries(ways)) {
  const methods = server.introspection_endpoint_auth_methods_supported;
  check(`oauth4webapi: ${name} is in the metadata`, true, methods.includes(name));
  const token = await make({ note: name, scopes: ["deploy"] });
  const introspect = async (credential = secret) => {
    const reply = await oauth.introspectionRequest(server, client, way(credential), token, insecure);
    return oauth.processIntrospectionResponse(server, client, reply);
  };
  const { active, username, scope, iss, client_id, sub } = await introspect();
  check(`oauth4webapi: ${name} introspects`, [true, "admin", "deploy", server.issuer], [active, username, scope, iss]);
  check(`oauth4webapi: ${name}: client_id is the user`, sub, client_id);
  const error = await refused(introspect(await make({ scopes: ["deploy"] })));
  check(`oauth4webapi: ${name} without the scope`, 401, error.status ?? error.response?.status);
  const wrong = await refused(introspect("wrong"));
  check(`oauth4webapi: ${name} with a wrong secret`, 401, wrong.status ?? wrong.response?.status);
  const revoked = await oauth.revocationRequest(server, client, way(secret), token, insecure);
  check(`oauth4webapi: ${name} revokes`, undefined, await oauth.processRevocationResponse(revoked));
  check(`oauth4webapi: ${name}: a revoked token is inactive`, { active: false }, await introspect());
}

const none = await make({});
const holder = await oauth.revocationRequest(server, client, oauth.None(), none, insecure);
check("oauth4webapi: a token can be revoked by its holder", undefined, await oauth.processRevocationResponse(holder));

for (const [name, way] of Object.entries({ client_secret_basic: openid.ClientSecretBasic, client_secret_post: openid.ClientSecretPost })) {
  const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
  const config = await openid.discovery(issuer, "my service", secret, way(secret), options);
  const token = await make({ note: name });
  const { active, username } = await openid.tokenIntrospection(config, token);
  check(`openid-client: ${name} introspects`, [true, "admin"], [active, username]);
  await openid.tokenRevocation(config, token);
  const after = await openid.tokenIntrospection(config, token);
  check(`openid-client: ${name} revokes`, { active: false }, after);
}
