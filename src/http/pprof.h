// http/pprof.h
//
// /debug/pprof/ (--enable-pprof): profiles of this process in the form that pprof and
// `go tool pprof` read, at the paths of Go's net/http/pprof. What stands for what is Go's:
// docs/compatibility.md, "Profiles".
//
// Threads: handle() on the listener's loops. Profiles are made on the lane that is given, one at a
//   time; it has stopped before this goes.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "http/cpu_sampler.h"
#include "http/front_door.h"
#include "http/stack_profile.h"
#include "net/grpc.h"
#include "net/http.h"

namespace keelson::http {

class Pprof final : public net::HttpHandler {
 public:
  // `door` outlives it. `command`: the program with its arguments. Memory is sampled from here on.
  Pprof(const FrontDoor& door, Executor* lane, std::vector<std::string> command);

  void add_to(net::Router& router);
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  struct Asked;
  struct Sampling;
  using AskedRef = std::shared_ptr<Asked>;

  static void answer(const AskedRef& asked, int status, std::string type, std::string body);
  static void refuse(const AskedRef& asked, int status, std::string_view why);
  static void send_profile(const AskedRef& asked, const StackProfile& profile);
  void sample_cpu(const AskedRef& asked, Duration time);
  static void finish(Sampling& sampling);
  static void send_heap(const AskedRef& asked);
  static void send_threads(const AskedRef& asked, std::string_view type);
  static void send_symbols(const AskedRef& asked);
  void send_command(const AskedRef& asked) const;

  const FrontDoor& door_;
  Executor& lane_;
  const std::vector<std::string> command_;
};

}  // namespace keelson::http
