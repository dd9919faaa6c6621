"""Tests authlib against Hallpass: metadata, introspection, revocation, and a protected resource. Prints one line per
check, which tests/clients/run counts."""

import os

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749 import ResourceProtector
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from checks import check

# The test's server has no TLS.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
hallpass, secret = os.environ["HALLPASS"], os.environ["TOKEN"]
metadata = requests.get(hallpass + "/.well-known/oauth-authorization-server", timeout=10).json()
introspection, revocation = metadata["introspection_endpoint"], metadata["revocation_endpoint"]


def make(**fields):
    bearer = {"Authorization": "Bearer " + secret}
    reply = requests.post(hallpass + "/hallpass.v1.TokenService/CreateToken", json=fields, headers=bearer, timeout=10)
    return reply.json()["token"]


def describes():
    """Validates everything but the endpoints of grants, which Hallpass does not have."""
    known = AuthorizationServerMetadata(metadata)
    for key in AuthorizationServerMetadata.REGISTRY_KEYS:
        if key not in ("authorization_endpoint", "token_endpoint"):
            getattr(known, "validate_" + key)()
    check("accepts the metadata", hallpass, known["issuer"])
    empty = AuthorizationServerMetadata({**metadata, "response_types_supported": []})
    try:
        empty.validate_response_types_supported()
    except ValueError:
        check("control: an empty list is refused", True, True)


def session(method, credential=secret):
    return OAuth2Session(
        "my service", credential, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method
    )


def verifies(method):
    token = make(scopes=["deploy"])
    known = session(method).introspect_token(introspection, token=token).json()
    seen = [known.get(name) for name in ("active", "username", "scope", "iss")]
    check(f"{method}: introspects", [True, "admin", "deploy", metadata["issuer"]], seen)
    wrong = session(method, "wrong").introspect_token(introspection, token=token)
    check(f"{method}: a wrong secret is refused", (401, "invalid_client"), (wrong.status_code, wrong.json()["error"]))
    check(f"{method}: revokes", 200, session(method).revoke_token(revocation, token=token).status_code)
    after = session(method).introspect_token(introspection, token=token).json()
    check(f"{method}: a revoked token is inactive", {"active": False}, after)


class Validator(IntrospectTokenValidator):
    def introspect_token(self, token_string):
        return session("client_secret_basic").introspect_token(introspection, token=token_string).json()


class Request:
    def __init__(self, token):
        self.headers = {"Authorization": "Bearer " + token}


def protects():
    guard = ResourceProtector()
    guard.register_token_validator(Validator())

    def access(token):
        try:
            return guard.validate_request(["deploy"], Request(token))["username"]
        except (InsufficientScopeError, InvalidTokenError) as error:
            return error.error

    check("protects a resource", "admin", access(make(scopes=["deploy", "read"])))
    check("a token without the scope is refused", "insufficient_scope", access(make(scopes=["read"])))
    # authlib knows no unrestricted tokens, so a token needs the scope.
    check("a token without scopes is refused", "insufficient_scope", access(make()))
    check("a malformed token is refused", "invalid_token", access("nonsense"))


describes()
for way in ("client_secret_basic", "client_secret_post"):
    verifies(way)
protects()
