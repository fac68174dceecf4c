// tests/cluster/cluster.h
//
// A cluster of servers under test as child processes on loopback: keelson, etcd, or some of each.
//
// Threads: the test's own, but for what says otherwise. Nothing outlives the Cluster.
// Errors: a step that fails is printed, counted, and made known by ok().

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/rpc.pb.h"
#include "tests/cluster/links.h"
#include "tests/cluster/network.h"
#include "tests/harness/server.h"

namespace keelson::cluster {

using harness::eventually;
using harness::Milliseconds;
using harness::Server;

// What runs a member.
struct Program {
  Program(std::string b, std::vector<std::string> f = {})  // NOLINT: a path will do
      : binary(std::move(b)), flags(std::move(f)) {}
  std::string binary;
  std::vector<std::string> flags;
};

class Cluster {
 public:
  // One member for each of `programs`, to be founded together; none runs yet. They speak with each
  // other by way of `links`, if there are some.
  explicit Cluster(const std::vector<Program>& programs, Links* links = nullptr);
  // The same in a network with a place for each, which stays.
  Cluster(const std::vector<Program>& programs, const Network& network);

  // Starts all of them and waits until each serves.
  void start();
  int size() const { return static_cast<int>(members_.size()); }
  Server& at(int i) { return *members_[static_cast<size_t>(i)]; }

  // Adds a member through `by`; it is announced and does not run yet. Its number.
  int add(const Program& program, bool learner, int by);
  // Starts a member that was added.
  void join(int i);
  void promote(int i, int by);
  void remove(int i, int by);
  void move_leader(int to);
  // Of member i, which does not run, nothing is left; from its next start on it is of another
  // cluster, which it founds with those that are told the same.
  void found_anew(int i, const Program& program);
  void learn_ids(int by);

  // Who leads, as a member that is up says; -1 (and a failure): nobody, for half a minute.
  int leader();
  // Of members that run.
  std::vector<std::string> addresses() const;
  uint64_t id(int i) const { return ids_[static_cast<size_t>(i)]; }

  grpc::Status put(int i, const std::string& key, const std::string& value);
  // Nothing: not there, or no answer.
  std::optional<std::string> get(int i, const std::string& key);
  etcdserverpb::StatusResponse status(int i);
  grpc::Status grant(int i, int64_t lease, int64_t seconds);
  // Seconds; -2: no answer. Of a lease that is not there any more: 0, and -1.
  int64_t renew(int i, int64_t lease);
  int64_t time_to_live(int i, int64_t lease);
  std::vector<etcdserverpb::Member> members(int i);

  // Waits until all that run are at one revision, and compares what they hash. A failure otherwise.
  void expect_equal();

  void check(bool good, const std::string& what);
  void check(const absl::Status& status, const std::string& what);
  void check(const grpc::Status& status, const std::string& what);
  bool ok() const { return failures_ == 0; }

 private:
  Cluster(const std::vector<Program>& programs, Links* links, const Network* network);
  void add_door(int i);
  std::string initial_cluster() const;
  std::vector<std::string> flags_of(int i, const Program& program,
                                    std::vector<std::string> more) const;

  Links* const links_;
  std::vector<std::unique_ptr<Server>> members_;
  std::vector<std::string> peer_urls_;  // of each member, as the others know it
  std::vector<uint64_t> ids_;           // of each member, 0: not known
  int failures_ = 0;
};

// What is at `path` of member i, behind its code and a space; or why there is nothing.
std::string page(Cluster& cluster, int i, const std::string& path);

}  // namespace keelson::cluster
