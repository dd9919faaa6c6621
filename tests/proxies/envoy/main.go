// Command envoy asks Hallpass as Envoy's filter ext_authz does, since Envoy is in no package registry. It reads Envoy's
// configuration by Envoy's schema, and its client is generated from Envoy's protobuf files; the rest of the filter is
// implemented here after Envoy's documentation.
//
//	envoy BOOTSTRAP FILTER|- CLIENT_ADDRESS PATH [NAME: VALUE]...
//
// prints the status that the client would get, and the headers that the application or the client would get.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
)

// request is a client's request, with lower-cased header names.
type request struct {
	client  string
	path    string
	headers map[string]string
}

// verdict is the result. At 200 the headers are those of the forwarded request, otherwise those of the response.
type verdict struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 5 {
		log.Fatal("usage: envoy BOOTSTRAP FILTER|- CLIENT_ADDRESS PATH [NAME: VALUE]...")
	}
	config, err := load(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	received := config.received(os.Args[3], os.Args[4], os.Args[5:])
	ask := config.askOverHTTP
	if config.isTooLarge(os.Args[5:]) {
		ask = refuse
	} else if config.filter.GetGrpcService() != nil {
		ask = config.askOverGRPC
	}
	answer, err := ask(received)
	if err != nil {
		log.Print(err)
		// Envoy's own default is 403.
		answer = verdict{Status: int(config.filter.GetStatusOnError().GetCode())}
		if config.filter.GetFailureModeAllow() {
			answer = verdict{Status: 200, Headers: received.headers}
		}
	}
	if answer.Status == 200 {
		for _, name := range config.removes {
			delete(answer.Headers, name)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}

// isTooLarge checks the headers as received: over HTTP/2, each cookie has its own field.
func (c *config) isTooLarge(headers []string) bool {
	bytes := 0
	for _, header := range headers {
		bytes += len(header)
	}
	return len(headers) > c.maxHeaders || bytes > c.maxHeaderBytes
}

// refuse is the connection manager's response, before its filters get the request.
func refuse(request) (verdict, error) {
	return verdict{Status: http.StatusRequestHeaderFieldsTooLarge}, nil
}

// received is the request that the connection manager passes to its filters.
func (c *config) received(client, path string, headers []string) request {
	seen := map[string]string{}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		add(seen, strings.ToLower(name), value)
	}
	for name := range seen {
		if strings.Contains(name, "_") && c.dropsUnderscores {
			delete(seen, name)
		}
	}
	if c.usesRemoteAddress {
		add(seen, "x-forwarded-for", client)
	}
	return request{client: client, path: path, headers: seen}
}

// allowed are the headers that Hallpass gets.
func (c *config) allowed(headers map[string]string) map[string]string {
	patterns := c.filter.GetAllowedHeaders()
	seen := map[string]string{}
	for name, value := range headers {
		if patterns == nil || matches(patterns, name) {
			seen[name] = value
		}
	}
	return seen
}

func add(headers map[string]string, name, value string) {
	if before, ok := headers[name]; ok {
		separator := ","
		if name == "cookie" {
			separator = "; "
		}
		value = before + separator + value
	}
	headers[name] = value
}
