package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"connectrpc.com/connect"

	hallpassv1 "hallpass/clients/gen/hallpass/v1"
	"hallpass/clients/gen/hallpass/v1/hallpassv1connect"
)

func main() {
	tokens := hallpassv1connect.NewTokenServiceClient(http.DefaultClient, os.Getenv("HALLPASS"))
	request := connect.NewRequest(&hallpassv1.ListTokensRequest{PageSize: 10})
	request.Header().Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	reply, err := tokens.ListTokens(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range reply.Msg.Tokens {
		fmt.Println(token.Id, token.Note)
	}
}
