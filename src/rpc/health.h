// rpc/health.h
//
// grpc.health.v1.Health for the whole server (service ""), as etcd registers it.
//
// Threads: set_serving(), and a Defragmentation's beginning and end, any; the rest on the calls'
//   loops.

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

  // For as long as one is there, the server says NOT_SERVING, so that clients that look go
  // elsewhere; without Limits::unserving_defragments it says nothing. May outlive the Health.
  class Defragmentation;
  std::unique_ptr<Defragmentation> defragmenting();

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the receivers and the defragmentations
  std::unique_ptr<net::UnaryHandler> check_, list_;
  std::unique_ptr<net::StreamHandler> watch_;
};

class Health::Defragmentation {
 public:
  explicit Defragmentation(std::shared_ptr<State> state);  // null: nothing is to be said
  ~Defragmentation();
  Defragmentation(const Defragmentation&) = delete;
  Defragmentation& operator=(const Defragmentation&) = delete;

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace keelson::rpc
