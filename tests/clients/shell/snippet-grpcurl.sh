grpcurl -plaintext -H "Authorization: Bearer $TOKEN" -d '{"pageSize": 10}' \
  ${HALLPASS#http://} hallpass.v1.TokenService/ListTokens
