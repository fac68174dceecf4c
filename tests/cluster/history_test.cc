// history_test: members of Keelson and of etcd 3.5 in one cluster, every kind of request through
// every member, and one random thing after the other happens to them: partitions in every form,
// pauses, kills, orderly restarts, moves of the leader, a member replaced by one of the other kind.
// What clients see is held against witness.h all along; at the end all members hold the same.
//
//   KEELSON_SEED=n KEELSON_SECONDS=s      another history, a longer one
//
// Without an etcd all members are Keelson's, which is a history worth having, too.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/witness.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

constexpr int kSize = 3;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Clients that ask for a bit of everything that goes through the log, each at one member for as
// long as that answers. What they get does not matter here: what it leaves must be the same
// everywhere.
class Everything {
 public:
  Everything(std::vector<std::string> addresses, const Witness& witness, uint64_t seed)
      : addresses_(std::move(addresses)), witness_(witness) {
    for (size_t i = 0; i < addresses_.size(); ++i) {
      threads_.emplace_back([this, i, seed] { work(i, seed); });
    }
  }
  ~Everything() { stop(); }

  void stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  static constexpr int kKinds = 8;

  void work(size_t place, uint64_t seed) {
    SeededRandom random(seed * 7919 + place);
    auto client = std::make_unique<harness::Client>(addresses_[place]);
    for (uint64_t number = 0; !stopping_; ++number) {
      const std::string key = cat("all/", random.below(20));
      if (ask(*client, random, key, number).error_code() == grpc::StatusCode::UNAVAILABLE) {
        place = (place + 1) % addresses_.size();
        client = std::make_unique<harness::Client>(addresses_[place]);
      }
      // Not much: the machine has other tests to run.
      std::this_thread::sleep_for(Milliseconds(5));
    }
  }

  grpc::Status call(harness::Client& client, const std::string& method,
                    const google::protobuf::Message& request,
                    google::protobuf::Message&& response) {
    return client.unary("/etcdserverpb." + method, request, &response,
                        {Milliseconds(2000), {}, false});
  }

  grpc::Status ask(harness::Client& client, SeededRandom& random, const std::string& key,
                   uint64_t number) {
    switch (random.below(kKinds)) {
      case 0:
        return leased_put(client, random, key);
      case 1: {
        pb::DeleteRangeRequest request;
        request.set_key(key);
        if (random.below(3) == 0) request.set_range_end(key + "~");
        return call(client, "KV/DeleteRange", request, pb::DeleteRangeResponse());
      }
      case 2:
        return nested(client, key, number);
      case 3:
        // Few: each takes a while, and the later of two must wait for the earlier.
        if (random.below(10) != 0) return grpc::Status::OK;
        return compact(client);
      case 4: {
        pb::AlarmRequest request;
        request.set_action(random.below(2) == 0 ? pb::AlarmRequest::GET
                                                : pb::AlarmRequest::DEACTIVATE);
        request.set_alarm(pb::NOSPACE);
        return call(client, "Maintenance/Alarm", request, pb::AlarmResponse());
      }
      case 5: {
        pb::LeaseTimeToLiveRequest request;
        request.set_id(static_cast<int64_t>(1 + random.below(20)));
        request.set_keys(true);
        return call(client, "Lease/LeaseTimeToLive", request, pb::LeaseTimeToLiveResponse());
      }
      case 6: {
        pb::LeaseRevokeRequest request;
        request.set_id(static_cast<int64_t>(1 + random.below(20)));
        return call(client, "Lease/LeaseRevoke", request, pb::LeaseRevokeResponse());
      }
      default: {
        pb::PutRequest request;
        request.set_key(key);
        request.set_value(std::string(random.below(2000), 'v'));
        request.set_prev_kv(random.below(2) == 0);
        return call(client, "KV/Put", request, pb::PutResponse());
      }
    }
  }

  // Some of the leases live so short that they expire by themselves.
  grpc::Status leased_put(harness::Client& client, SeededRandom& random, const std::string& key) {
    pb::LeaseGrantRequest grant;
    grant.set_id(static_cast<int64_t>(1 + random.below(20)));
    grant.set_ttl(random.below(2) == 0 ? 2 : 1000);
    call(client, "Lease/LeaseGrant", grant, pb::LeaseGrantResponse());
    pb::PutRequest put;
    put.set_key(key);
    put.set_lease(grant.id());
    return call(client, "KV/Put", put, pb::PutResponse());
  }

  grpc::Status nested(harness::Client& client, const std::string& key, uint64_t number) {
    pb::TxnRequest txn;
    pb::Compare* compare = txn.add_compare();
    compare->set_key(key);
    compare->set_target(pb::Compare::VERSION);
    compare->set_result(pb::Compare::GREATER);
    compare->set_version(static_cast<int64_t>(number % 3));
    pb::TxnRequest* inner = txn.add_success()->mutable_request_txn();
    pb::PutRequest* put = inner->add_success()->mutable_request_put();
    put->set_key(key + "/inner");
    put->set_value(cat(number));
    inner->add_success()->mutable_request_delete_range()->set_key(key);
    put = txn.add_failure()->mutable_request_put();
    put->set_key(key);
    put->set_value(cat(number));
    return call(client, "KV/Txn", txn, pb::TxnResponse());
  }

  grpc::Status compact(harness::Client& client) {
    pb::CompactionRequest request;
    request.set_revision(witness_.seen_by_all());
    return call(client, "KV/Compact", request, pb::CompactionResponse());
  }

  const std::vector<std::string> addresses_;
  const Witness& witness_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

class History {
 public:
  History(std::string keelson, std::string etcd, uint64_t seed)
      : keelson_(std::move(keelson), {"--snapshot-count=300", "--snapshot-catchup-entries=50"}),
        etcd_(etcd.empty()
                  ? keelson_
                  : Program(std::move(etcd), {"--snapshot-count=300",
                                              "--experimental-snapshot-catchup-entries=50"})),
        random_(seed),
        kinds_(seed % 2 == 0 ? std::vector<bool>{true, false, true}
                             : std::vector<bool>{false, true, false}),
        cluster_({program(kinds_[0]), program(kinds_[1]), program(kinds_[2])}, &links_) {
    cluster_.start();
    for (int i = 0; i < kSize; ++i) running_.push_back(i);
    const std::vector<std::string> addresses = cluster_.addresses();
    witness_ = std::make_unique<Witness>(addresses, seed);
    everything_ = std::make_unique<Everything>(addresses, *witness_, seed);
  }

  bool run(Milliseconds duration) {
    const auto until = std::chrono::steady_clock::now() + duration;
    do {
      cluster_.check(witness_->goes_on(), "there is work");
      one_thing();
    } while (cluster_.ok() && std::chrono::steady_clock::now() < until);
    cluster_.check(witness_->goes_on(), "there is work at the end");
    everything_->stop();
    witness_->check(cluster_, running_.front(), true);
    cluster_.expect_equal();
    return cluster_.ok();
  }

 private:
  const Program& program(bool keelson) const { return keelson ? keelson_ : etcd_; }
  int any() { return running_[random_.below(running_.size())]; }
  int other(int than) {
    int found = than;
    while (found == than) found = any();
    return found;
  }
  void say(const std::string& what) { std::cout << what << std::endl; }
  // As long as it takes the others to do something, or to notice that they cannot.
  void meanwhile() { witness_->goes_on(); }

  void one_thing() {
    const int who = any();
    const std::string name =
        cat(cluster_.at(who).name(), kinds_[static_cast<size_t>(who)] ? " (keelson)" : " (etcd)");
    switch (random_.below(8)) {
      case 0:
        say(name + " is alone");
        for (int i : running_) {
          if (i != who) links_.cut_both_ways(who, i);
        }
        break;
      case 1: {
        const int to = other(who);
        say(cat(name, " is not heard by ", cluster_.at(to).name()));
        links_.cut(who, to);
        break;
      }
      case 2: {
        const int to = other(who);
        say(cat(name, " and ", cluster_.at(to).name(), " do not hear each other"));
        links_.cut_both_ways(who, to);
        break;
      }
      case 3:
        say(name + " stands still");
        cluster_.at(who).pause();
        meanwhile();
        cluster_.at(who).resume();
        return;
      case 4:
        say(name + " is killed");
        cluster_.at(who).kill();
        meanwhile();
        cluster_.check(cluster_.at(who).start(), "start " + name);
        return;
      case 5:
        say(name + " is restarted");
        cluster_.check(cluster_.at(who).stop(), "stop " + name);
        cluster_.check(cluster_.at(who).start(), "start " + name);
        return;
      case 6:
        say(name + " is to lead");
        return cluster_.move_leader(who);
      default:
        return replace(who, name);
    }
    meanwhile();
    links_.mend();
  }

  // A learner of the other kind first, then a voter; then the old one goes.
  void replace(int old, const std::string& name) {
    if (std::exchange(replaced_, true)) return;
    say(name + " is replaced by one of the other kind");
    const int by = other(old);
    const bool kind = !kinds_[static_cast<size_t>(old)];
    const int fresh = cluster_.add(program(kind), true, by);
    cluster_.join(fresh);
    cluster_.promote(fresh, by);
    kinds_.push_back(kind);
    cluster_.remove(old, fresh);
    cluster_.check(eventually([&] { return cluster_.at(old).exited(); }), name + " ends");
    std::replace(running_.begin(), running_.end(), old, fresh);
    witness_->leave(static_cast<size_t>(old), cluster_.at(fresh).address());
  }

  const Program keelson_, etcd_;
  SeededRandom random_;
  std::vector<bool> kinds_;  // of each member ever: of Keelson
  Links links_;
  Cluster cluster_;
  std::vector<int> running_;
  bool replaced_ = false;  // once is enough, and takes long
  std::unique_ptr<Witness> witness_;
  std::unique_ptr<Everything> everything_;
};

int run(const std::string& server, const std::string& etcd) {
  const uint64_t seed = from_environment("KEELSON_SEED", 1);
  const uint64_t seconds = from_environment("KEELSON_SECONDS", 10);
  std::cout << "KEELSON_SEED=" << seed << " KEELSON_SECONDS=" << seconds << std::endl;
  History history(server, etcd, seed);
  const bool ok = history.run(Milliseconds(seconds * 1000));
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_and_etcd_test(
      argc, argv, "Random histories of a cluster of Keelson and etcd.", keelson::cluster::run);
}
