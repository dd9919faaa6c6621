"""Tests connect-python (connectrpc) against Hallpass over its three protocols. Prints one line per check, which
tests/clients/run counts."""

import os
import pathlib

from checks import check
from connectrpc.code import Code
from connectrpc.codec import proto_json_codec
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType
from hallpass.v1.authn_connect import AuthnServiceClientSync
from hallpass.v1.authn_pb import GetCurrentUserRequest
from hallpass.v1.token_connect import TokenServiceClientSync
from hallpass.v1.token_pb import CreateTokenRequest, DeleteTokenRequest, GetTokenRequest, ListTokensRequest
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

hallpass = os.environ["HALLPASS"]
password = pathlib.Path(os.environ["PASSWORD_FILE"]).read_text().strip()


def bearer(token):
    return {"authorization": "Bearer " + token}


def refused(call, *arguments, **options):
    """The error of a call that must fail."""
    try:
        call(*arguments, **options)
    except ConnectError as error:
        return error
    raise AssertionError("it was not refused")


def session(name, **options):
    tokens = TokenServiceClientSync(hallpass, **options)
    users = AuthnServiceClientSync(hallpass, **options)
    by_password = CreateTokenRequest(username="admin", password=password, note="by password")
    made = tokens.create_token(by_password)
    caller = {"headers": bearer(made.token)}
    me = users.get_current_user(GetCurrentUserRequest(), **caller)
    check(f"{name}: creates a token by password", "admin", me.user.username)
    child = tokens.create_token(CreateTokenRequest(note="by token"), **caller)
    named = child.metadata.id
    got = tokens.get_token(GetTokenRequest(token_id=named), **caller)
    check(f"{name}: creates a token by token, gets it", "by token", got.token.note)
    listed = tokens.list_tokens(ListTokensRequest(), **caller)
    check(f"{name}: lists it", True, named in [token.id for token in listed.tokens])
    tokens.delete_token(DeleteTokenRequest(token_id=named), **caller)
    error = refused(tokens.list_tokens, ListTokensRequest(), headers=bearer(child.token))
    check(f"{name}: deletes it, which is then unauthenticated", Code.UNAUTHENTICATED, error.code)
    error = refused(tokens.get_token, GetTokenRequest(), **caller)
    kinds = {detail.type_name for detail in error.details}
    expected = (Code.INVALID_ARGUMENT, {"google.rpc.ErrorInfo", "google.rpc.BadRequest"})
    check(f"{name}: reads an error's details", expected, (error.code, kinds))
    error = refused(tokens.create_token, by_password, timeout_ms=2)
    check(f"{name}: keeps a deadline", Code.DEADLINE_EXCEEDED, error.code)
    long = tokens.create_token(CreateTokenRequest(note="x" * 1000), **caller)
    check(f"{name}: sends and receives gzip", 1000, len(long.metadata.note))
    tokens.delete_token(DeleteTokenRequest(token_id=made.metadata.id), **caller)


http2 = SyncClient(SyncHTTPTransport(http_version=HTTPVersion.HTTP2))
session("Connect")
session("Connect JSON", codec=proto_json_codec())
session("gRPC", protocol=ProtocolType.GRPC, http_client=http2)
session("gRPC-web", protocol=ProtocolType.GRPC_WEB)
