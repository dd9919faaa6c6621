package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"gopkg.in/yaml.v3"
)

// config is the part of Envoy's configuration for ext_authz.
type config struct {
	filter            *authz.ExtAuthz
	extensions        map[string]string
	removes           []string
	clusters          []*cluster.Cluster
	dropsUnderscores  bool
	usesRemoteAddress bool
	maxHeaders        int
	maxHeaderBytes    int
}

// load reads a bootstrap file and, unless it is "-", a file with a filter that replaces the bootstrap's.
func load(path, filterPath string) (*config, error) {
	var whole bootstrap.Bootstrap
	if err := read(path, &whole); err != nil {
		return nil, err
	}
	chain := whole.GetStaticResources().GetListeners()[0].GetFilterChains()[0]
	var manager hcm.HttpConnectionManager
	if err := chain.GetFilters()[0].GetTypedConfig().UnmarshalTo(&manager); err != nil {
		return nil, err
	}
	first := manager.GetHttpFilters()[0]
	if filterPath != "-" {
		first = &hcm.HttpFilter{}
		if err := read(filterPath, first); err != nil {
			return nil, err
		}
	}
	var filter authz.ExtAuthz
	if err := first.GetTypedConfig().UnmarshalTo(&filter); err != nil {
		return nil, err
	}
	// The first cluster is the application's.
	routed := manager.GetRouteConfig().GetVirtualHosts()[0].GetRoutes()[0]
	var route authz.ExtAuthzPerRoute
	if err := routed.GetTypedPerFilterConfig()[first.GetName()].UnmarshalTo(&route); err != nil {
		return nil, err
	}
	options := manager.GetCommonHttpProtocolOptions()
	return &config{
		filter:            &filter,
		extensions:        route.GetCheckSettings().GetContextExtensions(),
		removes:           routed.GetRequestHeadersToRemove(),
		clusters:          whole.GetStaticResources().GetClusters(),
		dropsUnderscores:  options.GetHeadersWithUnderscoresAction() == core.HttpProtocolOptions_DROP_HEADER,
		usesRemoteAddress: manager.GetUseRemoteAddress().GetValue(),
		maxHeaders:        orElse(options.GetMaxHeadersCount(), 100),
		maxHeaderBytes:    orElse(manager.GetMaxRequestHeadersKb(), 60) * 1024,
	}, nil
}

// orElse is Envoy's default for an absent value.
func orElse(said *wrapperspb.UInt32Value, otherwise int) int {
	if said == nil {
		return otherwise
	}
	return int(said.GetValue())
}

// read fills a message from YAML as Envoy does, and validates it and the messages inside of it.
func read(path string, into proto.Message) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	text, err = json.Marshal(tree)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	// The walk enters messages inside of an Any, too.
	return protorange.Range(into.ProtoReflect(), func(at protopath.Values) error {
		message, ok := at.Index(-1).Value.Interface().(interface{ Interface() proto.Message })
		if !ok {
			return nil
		}
		if checked, ok := message.Interface().(interface{ Validate() error }); ok {
			return checked.Validate()
		}
		if packed, ok := message.Interface().(*anypb.Any); ok {
			_, err := packed.UnmarshalNew()
			return err
		}
		return nil
	})
}

// endpoint is the address of a cluster's only server.
func (c *config) endpoint(name string) (string, error) {
	for _, cluster := range c.clusters {
		if cluster.GetName() == name {
			server := cluster.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0]
			at := server.GetEndpoint().GetAddress().GetSocketAddress()
			return net.JoinHostPort(at.GetAddress(), strconv.Itoa(int(at.GetPortValue()))), nil
		}
	}
	return "", errors.New("no such cluster: " + name)
}

// matches says whether one of the patterns matches; it supports only the kinds in the examples.
func matches(patterns *matcher.ListStringMatcher, name string) bool {
	for _, pattern := range patterns.GetPatterns() {
		switch kind := pattern.GetMatchPattern().(type) {
		case *matcher.StringMatcher_Exact:
			if kind.Exact == name {
				return true
			}
		case *matcher.StringMatcher_Prefix:
			if strings.HasPrefix(name, kind.Prefix) {
				return true
			}
		default:
			panic(fmt.Sprintf("not known here: %v", pattern))
		}
	}
	return false
}
