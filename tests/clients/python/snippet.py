import os

import grpc
from hallpass.v1 import token_pb2, token_pb2_grpc

channel = grpc.insecure_channel(os.environ["HALLPASS"].removeprefix("http://"))
tokens = token_pb2_grpc.TokenServiceStub(channel)
metadata = [("authorization", "Bearer " + os.environ["TOKEN"])]
reply = tokens.ListTokens(token_pb2.ListTokensRequest(page_size=10), metadata=metadata)
for token in reply.tokens:
    print(token.id, token.note)
