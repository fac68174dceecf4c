// peer/peer_status.h
//
// PeerStatus is whether a member can be spoken with, as far as the last attempt tells: logged in
// etcd's words, and counted.
//
// Threads: the peer loop.

#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "peer/context.h"

namespace keelson::peer {

class PeerStatus {
 public:
  // `counted`: whom metrics name.
  PeerStatus(const Context* context, MemberId remote, MemberId counted)
      : context_(*context), remote_(remote), counted_(counted) {}
  // It is not spoken with any more.
  ~PeerStatus();

  void activate();
  // "failed to `action` <member> on `source` (`reason`)".
  struct Failure {
    std::string_view action;
    std::string_view source;
    std::string_view reason;
  };
  void deactivate(const Failure& failure);

  bool active() const { return since_.has_value(); }
  MemberId counted() const { return counted_; }
  std::optional<MonotonicTime> active_since() const { return since_; }

 private:
  const Context& context_;
  const MemberId remote_, counted_;
  std::optional<MonotonicTime> since_;
};

}  // namespace keelson::peer
