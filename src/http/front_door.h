// http/front_door.h
//
// FrontDoor is what every plain HTTP request on the client's ports passes first: whether its host
// may be asked for, what other origins may read, and that nobody relies on a certificate's name
// where it is not looked at.
//
// Threads: any, many at once.
// Source: etcd v3.7.1, server/embed/serve.go (accessController).

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/line_budget.h"
#include "net/http.h"

namespace keelson::http {

struct EndpointOptions {
  // Origins of --cors: each answer says that browsers from there may read it. Empty or "*": any.
  std::vector<std::string> cors;
  // Host names of --host-whitelist; a request for another host is refused (DNS rebinding). Empty
  // or "*": any.
  std::vector<std::string> hosts;
  // Whether a certificate's name would be taken for a user's, were it not a request of the
  // gateway's. Null: never.
  std::function<bool()> names_are_users = nullptr;
  // Bounds what is said of refused requests. Null: nothing does. Outlives the door.
  LineBudget* lines = nullptr;
};

class FrontDoor {
 public:
  explicit FrontDoor(EndpointOptions options) : options_(std::move(options)) {}

  // The fields of every answer to this request.
  std::vector<net::HttpField> fields(const net::HttpRequest& request) const;
  // Answers what goes no further: refusals, and OPTIONS. True: answered.
  bool answers(const net::HttpRequest& request, net::HttpReply& reply) const;

 private:
  bool host_allowed(const net::HttpRequest& request) const;
  bool relies_on_name(const net::HttpRequest& request) const;

  const EndpointOptions options_;
};

// What leads to no handler of a router passes the door, too, before it hears that.
// Lifetime: both outlive it.
class Elsewhere final : public net::HttpHandler {
 public:
  Elsewhere(const FrontDoor& door, const net::Router& router) : door_(door), router_(router) {}
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  const FrontDoor& door_;
  const net::Router& router_;
};

}  // namespace keelson::http
