// rpc/contender.h
//
// Contender is one call that stands in line below a prefix, for a lock or to lead: it writes the
// key `prefix/lease`, bound to the lease, and has won when no key below the prefix is older. Until
// then it waits for the youngest of the older ones to be deleted, then looks again; so a
// deletion wakes one, and each costs one watcher.
//
// Safety: whoever waited has won only if its key is then still there, by a linearizable read: its
//   lease may have ended meanwhile.
// A call that ends while it waits (cancelled, deadline, connection lost) takes its key away again,
//   in the name of its user; so does one that came too late for its own entry. When the member is
//   about to end, the call is told so and the key stays: the client asks another member by the same
//   lease, and has its place still.
// Threads: the call's loop. Lifetime: it lives as long as it waits for something.
// Source: etcd v3.7.1, client/v3/concurrency/{mutex,election,key}.go.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "rpc/as_caller.h"
#include "rpc/context.h"

namespace keelson::rpc {

struct Bid {
  std::string prefix;  // ends in '/'
  int64_t lease = 0;   // 0: one is granted
  std::string value = {};
  // A key of the same lease that is there already gets the value.
  bool proclaims = false;
  // The key goes, too, when the wait fails for another reason than the call's end.
  bool leaves_on_error = false;
  // What is answered when the key has gone while it waited.
  absl::Status lost;
};

struct Place {
  std::string key;
  int64_t lease = 0;
  int64_t created = 0;  // the key's create revision
  int64_t entered = 0;  // the store's revision when it came
  int64_t won = 0;      // >= entered; the store's revision when it was found to be first
};

class Contender : public std::enable_shared_from_this<Contender> {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Place>)>;

  // `done` is called once, unless the call is over before.
  static void start(Context& context, net::CallRef call, Bid bid, Done done);

  Contender(Context& context, net::CallRef call, Bid bid, Done done);

 private:
  void begin();
  void enter();
  void entered(absl::StatusOr<TxnAnswer> answer);
  void proclaim();
  void look();
  void looked(absl::StatusOr<mvcc::RangeResult> found);
  void await(std::string_view key, int64_t revision);
  void confirm();
  void won(int64_t revision);
  void failed(absl::Status status);
  void cancelled();
  void leave();

  Context& context_;
  const net::CallRef call_;
  const Bid bid_;
  Done done_;
  std::string user_;  // who asks; empty: nobody
  Origin from_;
  Place place_;
  bool granted_ = false;  // the lease is ours to revoke
  bool placed_ = false;   // the key is there, as far as we know
  bool fresh_ = false;    // we put it there
  bool waited_ = false;   // somebody was before us
  bool gone_ = false;     // the call ended without an answer
  int64_t watch_ = 0;     // the watcher that waits; 0: none
};

}  // namespace keelson::rpc
