// rpc/health.h
//
// grpc.health.v1.Health for the whole server (service ""), as etcd registers it.
//
// Threads: set_serving() any; the rest on the calls' loops.

#pragma once

#include <memory>

#include "net/grpc.h"

namespace keelson::rpc {

class Context;

class Health {
 public:
  // A learner refuses to be asked, as in etcd. `context` outlives this.
  explicit Health(Context& context);
  ~Health();
  void register_on(net::Router& router);
  void set_serving(bool serving);

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::unique_ptr<net::UnaryHandler> check_;
  std::unique_ptr<net::StreamHandler> watch_;
};

}  // namespace keelson::rpc
