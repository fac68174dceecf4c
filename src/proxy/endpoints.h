// proxy/endpoints.h
//
// Endpoints chooses which server of a cluster a gateway's next client is led to: of those that
// answer the ones with the best (lowest) priority; among these in turn, or, where some have a
// weight, by chance in the proportion of weights, those of weight 0 once in a hundred (RFC 2782).
//
// Threads: one.
// Source: etcd v3.7.1, server/proxy/tcpproxy. Its choice by weight favours the first, and in turn
//   it leaves the best priority; here neither is so.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace keelson::proxy {

struct Endpoint {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;
  uint16_t priority = 0;
  uint16_t weight = 0;

  std::string address() const;  // "host:port", "[::1]:2379"
};

// Of "host:port", "[address]:port", or a URL of which the rest counts for nothing.
// Errors: InvalidArgument.
absl::StatusOr<Endpoint> parse_endpoint(std::string_view text);

class Endpoints {
 public:
  // By number: a client's, of where it has been sent already.
  using Tried = std::vector<bool>;

  // `random` outlives this.
  Endpoints(std::vector<Endpoint> all, Random* random);

  size_t size() const { return all_.size(); }
  const Endpoint& at(size_t number) const { return all_[number]; }
  bool is_active(size_t number) const { return active_[number]; }

  // The next one for a client that has not been to any of `tried`, or nobody.
  // REQUIRES: as many of `tried` as there are endpoints.
  std::optional<size_t> pick(const Tried& tried);

  // False: so it was before.
  bool set_active(size_t number, bool active);

 private:
  // Of those that may be picked now.
  struct Best {
    uint16_t priority = 0;
    size_t count = 0;
    size_t unweighted = 0;  // of weight 0; <= count
    uint64_t weights = 0;   // their sum
  };
  Best best(const Tried& tried) const;
  bool eligible(size_t number, const Tried& tried, const Best& best) const;
  size_t in_turn(const Tried& tried, const Best& best);
  size_t by_weight(const Tried& tried, const Best& best);

  const std::vector<Endpoint> all_;
  std::vector<bool> active_;  // as many as all_
  Random& random_;
  size_t turn_ = 0;  // <= all_.size(); where the search in turn begins
};

}  // namespace keelson::proxy
