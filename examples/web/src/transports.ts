// The ways in which connect-web can call. A page of yours needs one of them.

import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

export const transports: Record<string, typeof createConnectTransport> = {
  "Connect, JSON": createConnectTransport,
  "Connect, binary": (options) => createConnectTransport({ ...options, useBinaryFormat: true }),
  "Connect, reads by GET": (options) => createConnectTransport({ ...options, useHttpGet: true }),
  "gRPC-web": createGrpcWebTransport,
};
