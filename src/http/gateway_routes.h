// http/gateway_routes.h
//
// Which method each path of the JSON gateway stands for: made from the schema's descriptors by one
// rule, and a table of where etcd's paths are not by the rule. A service that comes into the schema
// has its paths by that.
//
// Threads: made once; then read from all loops.
// Source: etcd v3.7.1, api/etcdserverpb/rpc.proto and its gw/*.gw.go (paths).

#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>
#include <vector>

#include "net/router.h"

namespace keelson::http {

struct GatewayRoute {
  std::string path;  // "/v3/kv/range"
  const google::protobuf::MethodDescriptor* method = nullptr;
  const net::MethodEntry* entry = nullptr;  // the handler; null: nobody has registered it

  bool streams_in() const { return method->client_streaming(); }
  bool streams_out() const { return method->server_streaming(); }
};

// All of them, by path. Handlers are those that `methods` has now.
std::vector<GatewayRoute> gateway_routes(const net::Router& methods);

}  // namespace keelson::http
