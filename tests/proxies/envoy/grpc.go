package main

import (
	"context"
	"net/http"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (c *config) askOverGRPC(received request) (verdict, error) {
	service := c.filter.GetGrpcService()
	there, err := c.endpoint(service.GetEnvoyGrpc().GetClusterName())
	if err != nil {
		return verdict{}, err
	}
	connection, err := grpc.NewClient(there, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return verdict{}, err
	}
	defer connection.Close()
	within, cancel := context.WithTimeout(context.Background(), service.GetTimeout().AsDuration())
	defer cancel()
	answer, err := auth.NewAuthorizationClient(connection).Check(within, c.question(received))
	if err != nil {
		return verdict{}, err
	}
	if answer.GetStatus().GetCode() != int32(codes.OK) {
		return denied(answer.GetDeniedResponse()), nil
	}
	return verdict{Status: http.StatusOK, Headers: changed(received.headers, answer.GetOkResponse())}, nil
}

func (c *config) question(received request) *auth.CheckRequest {
	address := &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       received.client,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: 40000},
	}}}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source: &auth.AttributeContext_Peer{Address: address},
		Request: &auth.AttributeContext_Request{
			Time: timestamppb.Now(),
			Http: &auth.AttributeContext_HttpRequest{
				Id:       "1",
				Method:   http.MethodGet,
				Path:     received.path,
				Host:     "app.example",
				Scheme:   "https",
				Protocol: "HTTP/2",
				Size:     -1,
				Headers:  c.allowed(received.headers),
			},
		},
		ContextExtensions: c.extensions,
	}}
}

func denied(by *auth.DeniedHttpResponse) verdict {
	headers := map[string]string{}
	for _, option := range by.GetHeaders() {
		headers[strings.ToLower(option.GetHeader().GetKey())] = option.GetHeader().GetValue()
	}
	status := int(by.GetStatus().GetCode())
	if status == 0 {
		status = http.StatusForbidden
	}
	return verdict{Status: status, Headers: headers}
}

// changed are the request's headers with those that Hallpass sets. Versions of Envoy differ in how they treat
// overwriting and empty headers; only what all versions accept counts here.
func changed(headers map[string]string, by *auth.OkHttpResponse) map[string]string {
	for _, name := range by.GetHeadersToRemove() {
		delete(headers, strings.ToLower(name))
	}
	for _, option := range by.GetHeaders() {
		name, value := strings.ToLower(option.GetHeader().GetKey()), option.GetHeader().GetValue()
		overwrites := !option.GetAppend().GetValue() &&
			option.GetAppendAction() == core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		switch {
		case value == "" && !option.GetKeepEmptyValue():
		case overwrites:
			headers[name] = value
		default:
			add(headers, name, value)
		}
	}
	return headers
}
