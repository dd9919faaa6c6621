// Command clients tests connect-go against Hallpass in its three protocols. It prints one line per check, which
// tests/clients/run counts.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	hallpassv1 "hallpass/clients/gen/hallpass/v1"
	"hallpass/clients/gen/hallpass/v1/hallpassv1connect"
)

type call struct {
	url      string
	password string
	protocol string
	tokens   hallpassv1connect.TokenServiceClient
	users    hallpassv1connect.AuthnServiceClient
	wire     *wire
}

// wire records the encodings of requests and responses, which connect-go hides.
type wire struct {
	inner          http.RoundTripper
	mutex          sync.Mutex
	sent, received string
}

func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	reply, err := w.inner.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.sent = encoding(request.Header)
	w.received = encoding(reply.Header)
	return reply, nil
}

func encoding(headers http.Header) string {
	return headers.Get("Content-Encoding") + headers.Get("Grpc-Encoding")
}

func main() {
	password, err := os.ReadFile(os.Getenv("PASSWORD_FILE"))
	if err != nil {
		panic(err)
	}
	// gRPC is HTTP/2, without TLS here.
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	for _, protocol := range []struct {
		name      string
		transport http.RoundTripper
		options   []connect.ClientOption
	}{
		{"Connect", http.DefaultTransport, []connect.ClientOption{connect.WithHTTPGet()}},
		{"gRPC", h2c, []connect.ClientOption{connect.WithGRPC()}},
		{"gRPC-web", http.DefaultTransport, []connect.ClientOption{connect.WithGRPCWeb()}},
	} {
		wire := &wire{inner: protocol.transport}
		client := &http.Client{Transport: wire}
		url := os.Getenv("HALLPASS")
		options := append(protocol.options, connect.WithSendGzip(), connect.WithCompressMinBytes(256))
		call{
			url:      url,
			password: strings.TrimSpace(string(password)),
			protocol: protocol.name,
			tokens:   hallpassv1connect.NewTokenServiceClient(client, url, options...),
			users:    hallpassv1connect.NewAuthnServiceClient(client, url, options...),
			wire:     wire,
		}.session()
	}
}

func (c call) check(name string, right bool, seen ...any) {
	if right {
		fmt.Printf("ok - %s: %s\n", c.protocol, name)
	} else {
		fmt.Printf("FAIL - %s: %s: %v\n", c.protocol, name, seen)
	}
}

// with makes a request with a bearer token.
func with[T any](token string, message *T) *connect.Request[T] {
	request := connect.NewRequest(message)
	request.Header().Set("Authorization", "Bearer "+token)
	return request
}

func (c call) create(ctx context.Context, token, note string) *hallpassv1.CreateTokenResponse {
	reply, err := c.tokens.CreateToken(ctx, with(token, &hallpassv1.CreateTokenRequest{Note: note}))
	if err != nil {
		panic(err)
	}
	return reply.Msg
}

func (c call) byPassword() *connect.Request[hallpassv1.CreateTokenRequest] {
	return connect.NewRequest(&hallpassv1.CreateTokenRequest{
		Username: "admin", Password: c.password, Note: "by password",
	})
}

func (c call) session() {
	ctx := context.Background()
	signedIn, err := c.tokens.CreateToken(ctx, c.byPassword())
	if err != nil {
		panic(err)
	}
	token := signedIn.Msg.Token
	user, err := c.users.GetCurrentUser(ctx, with(token, &hallpassv1.GetCurrentUserRequest{}))
	c.check("creates a token by password", err == nil && user.Msg.User.Username == "admin", user, err)

	child := c.create(ctx, token, "by token")
	id := child.Metadata.Id
	got, err := c.tokens.GetToken(ctx, with(token, &hallpassv1.GetTokenRequest{TokenId: id}))
	c.check("creates a token by token, gets it", err == nil && got.Msg.Token.Note == "by token", got, err)

	list, err := c.tokens.ListTokens(ctx, with(token, &hallpassv1.ListTokensRequest{}))
	listed := err == nil && slices.ContainsFunc(list.Msg.Tokens, func(t *hallpassv1.Token) bool { return t.Id == id })
	c.check("lists it", listed, list, err)

	_, err = c.tokens.DeleteToken(ctx, with(token, &hallpassv1.DeleteTokenRequest{TokenId: id}))
	c.check("deletes it", err == nil, err)
	_, err = c.tokens.ListTokens(ctx, with(child.Token, &hallpassv1.ListTokensRequest{}))
	c.check("is then unauthenticated", connect.CodeOf(err) == connect.CodeUnauthenticated, err)

	_, err = c.tokens.GetToken(ctx, with(token, &hallpassv1.GetTokenRequest{}))
	code, reason, field := describe(err)
	c.check("reads an error's reason and field",
		code == connect.CodeInvalidArgument && reason == "INVALID_FIELD" && field == "token_id", err)

	for _, note := range []string{"1", "2", "3"} {
		c.create(ctx, token, note)
	}
	c.walk(ctx, token)
	c.deadline(ctx)
	c.gzip(ctx, token)

	// Leaves nothing for the next protocol: child tokens are deleted with their parent.
	_, err = c.tokens.DeleteToken(ctx, with(token, &hallpassv1.DeleteTokenRequest{TokenId: signedIn.Msg.Metadata.Id}))
	if err != nil {
		panic(err)
	}
}

// describe returns the code of an error, and the reason and field in its details.
func describe(err error) (code connect.Code, reason, field string) {
	var failure *connect.Error
	if !errors.As(err, &failure) {
		return 0, "", ""
	}
	for _, detail := range failure.Details() {
		message, err := detail.Value()
		if err != nil {
			panic(err)
		}
		switch message := message.(type) {
		case *errdetails.ErrorInfo:
			reason = message.Reason
		case *errdetails.BadRequest:
			field = message.FieldViolations[0].Field
		}
	}
	return failure.Code(), reason, field
}

func (c call) walk(ctx context.Context, token string) {
	var sizes []int
	next := ""
	for range 5 {
		page, err := c.tokens.ListTokens(ctx, with(token, &hallpassv1.ListTokensRequest{PageSize: 2, PageToken: next}))
		if err != nil {
			panic(err)
		}
		sizes = append(sizes, len(page.Msg.Tokens))
		if next = page.Msg.NextPageToken; next == "" {
			break
		}
	}
	c.check("walks pages of 2 over 5 tokens", slices.Equal(sizes, []int{2, 2, 1}), sizes)
}

func (c call) deadline(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	_, err := c.tokens.CreateToken(short, c.byPassword())
	c.check("keeps a deadline", connect.CodeOf(err) == connect.CodeDeadlineExceeded, err)
}

func (c call) gzip(ctx context.Context, token string) {
	long := c.create(ctx, token, strings.Repeat("x", 1000))
	c.check("sends gzip", c.wire.sent == "gzip" && len(long.Metadata.Note) == 1000, c.wire.sent)
	_, err := c.tokens.ListTokens(ctx, with(token, &hallpassv1.ListTokensRequest{}))
	c.check("receives gzip", err == nil && c.wire.received == "gzip", c.wire.received, err)
}
