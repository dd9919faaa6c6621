import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { TokenService } from "./gen/hallpass/v1/token_pb";

/** The TokenService at this address, for the holder of a token; with none, only signing in works. */
export function tokenService(baseUrl: string, token?: string, createTransport = createConnectTransport) {
  const authenticate: Interceptor = (next) => (request) => {
    if (token) {
      request.header.set("Authorization", `Bearer ${token}`);
    }
    return next(request);
  };
  const options = { baseUrl, defaultTimeoutMs: 10_000, interceptors: [authenticate] };
  return createClient(TokenService, createTransport(options));
}
