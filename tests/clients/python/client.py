"""Tests grpcio against Hallpass. Prints one line per check, which tests/clients/run counts."""

import os
import pathlib

import grpc
from checks import check
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from hallpass.v1 import authn_pb2, authn_pb2_grpc, token_pb2, token_pb2_grpc

channel = grpc.insecure_channel(os.environ["HALLPASS"].removeprefix("http://"))
tokens = token_pb2_grpc.TokenServiceStub(channel)
users = authn_pb2_grpc.AuthnServiceStub(channel)
password = pathlib.Path(os.environ["PASSWORD_FILE"]).read_text().strip()


def bearer(token):
    return [("authorization", "Bearer " + token)]


def by_password():
    return token_pb2.CreateTokenRequest(username="admin", password=password, note="by password")


def refused(call, *arguments, **options):
    """The error of a call that must fail."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


def lifecycle():
    token = tokens.CreateToken(by_password()).token
    me = users.GetCurrentUser(authn_pb2.GetCurrentUserRequest(), metadata=bearer(token))
    check("creates a token by password", "admin", me.user.username)
    child = tokens.CreateToken(token_pb2.CreateTokenRequest(note="by token"), metadata=bearer(token))
    named = token_pb2.GetTokenRequest(token_id=child.metadata.id)
    got = tokens.GetToken(named, metadata=bearer(token))
    check("creates a token by token, gets it", "by token", got.token.note)
    listed = tokens.ListTokens(token_pb2.ListTokensRequest(), metadata=bearer(token))
    check("lists it", True, child.metadata.id in [token.id for token in listed.tokens])
    deleted = token_pb2.DeleteTokenRequest(token_id=child.metadata.id)
    reply = tokens.DeleteToken(deleted, metadata=bearer(token))
    check("deletes it", 0, reply.deleted_children)
    error = refused(tokens.ListTokens, token_pb2.ListTokensRequest(), metadata=bearer(child.token))
    check("is then unauthenticated", grpc.StatusCode.UNAUTHENTICATED, error.code())
    return token


def details(token):
    error = refused(tokens.GetToken, token_pb2.GetTokenRequest(), metadata=bearer(token))
    status = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    seen = (error.code(), info.reason, info.domain, bad.field_violations[0].field)
    expected = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "hallpass", "token_id")
    check("reads an error's reason and field", expected, seen)


def pages(token):
    for note in "123":
        tokens.CreateToken(token_pb2.CreateTokenRequest(note=note), metadata=bearer(token))
    sizes, following = [], ""
    for _ in range(5):
        request = token_pb2.ListTokensRequest(page_size=2, page_token=following)
        page = tokens.ListTokens(request, metadata=bearer(token))
        sizes.append(len(page.tokens))
        following = page.next_page_token
        if not following:
            break
    check("walks pages of 2 over 5 tokens", [2, 2, 1], sizes)


def gzip(token):
    request = token_pb2.CreateTokenRequest(note="x" * 1000)
    reply = tokens.CreateToken(request, metadata=bearer(token), compression=grpc.Compression.Gzip)
    check("sends and receives gzip", 1000, len(reply.metadata.note))


def health():
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "hallpass.v1.TokenService"):
        status = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
        check(f"asks for the health of {service or 'the server'}", health_pb2.HealthCheckResponse.SERVING, status)
    first = next(iter(stub.Watch(health_pb2.HealthCheckRequest())))
    check("watches its health", health_pb2.HealthCheckResponse.SERVING, first.status)


def reflection():
    """Over v1alpha, which grpcio's package uses."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    reply = next(iter(stub.ServerReflectionInfo(iter([request]))))
    names = {service.name for service in reply.list_services_response.service}
    check("lists services by reflection", True, {"hallpass.v1.TokenService", "grpc.health.v1.Health"} <= names)


token = lifecycle()
details(token)
pages(token)
error = refused(tokens.CreateToken, by_password(), timeout=0.002)
check("keeps a deadline", grpc.StatusCode.DEADLINE_EXCEEDED, error.code())
gzip(token)
health()
reflection()
