package main

import (
	"net/http"
	"strings"
)

func (c *config) askOverHTTP(received request) (verdict, error) {
	service := c.filter.GetHttpService()
	there, err := c.endpoint(service.GetServerUri().GetCluster())
	if err != nil {
		return verdict{}, err
	}
	question, err := http.NewRequest(http.MethodGet, "http://"+there+service.GetPathPrefix()+received.path, nil)
	if err != nil {
		return verdict{}, err
	}
	question.Host = "app.example"
	question.Header.Set("Content-Length", "0")
	for name, value := range c.allowed(received.headers) {
		question.Header.Set(name, value)
	}
	// Envoy appends its own address.
	question.Header.Add("X-Forwarded-For", "127.0.0.1")
	client := http.Client{
		Timeout: service.GetServerUri().GetTimeout().AsDuration(),
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	answer, err := client.Do(question)
	if err != nil {
		return verdict{}, err
	}
	defer answer.Body.Close()
	patterns := service.GetAuthorizationResponse().GetAllowedClientHeaders()
	headers := map[string]string{}
	if answer.StatusCode == http.StatusOK {
		patterns = service.GetAuthorizationResponse().GetAllowedUpstreamHeaders()
		headers = received.headers
	}
	for name, values := range answer.Header {
		if name := strings.ToLower(name); matches(patterns, name) {
			headers[name] = strings.Join(values, ",")
		}
	}
	return verdict{Status: answer.StatusCode, Headers: headers}, nil
}
