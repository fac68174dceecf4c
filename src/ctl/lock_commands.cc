// lock and elect: the recipes of etcd's client library. Whoever wrote the oldest key below the
// name, held by a living lease, has the lock or leads.

#include <signal.h>

#include <atomic>
#include <ostream>
#include <thread>

#include "base/errors.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/keys.h"
#include "ctl/run_program.h"

namespace keelson::ctl {
namespace {

constexpr std::chrono::milliseconds kPoll{50};
constexpr int64_t kElectionTtl = 60;

// SIGINT and SIGTERM ask to give up the lock; the handler may do no more than note it.
volatile sig_atomic_t stop_wanted = 0;

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_wanted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// A lease kept alive by a thread of its own for as long as the object lives.
class LeaseKeeper {
 public:
  LeaseKeeper(Client& client, int64_t id)
      : id_(id), stream_(client.keep_alive(true)), thread_([this] { run(); }) {}
  ~LeaseKeeper() {
    done_ = true;
    stream_->cancel();
    thread_.join();
  }
  int64_t id() const { return id_; }
  bool expired() const { return expired_; }

 private:
  void run() {
    pb::LeaseKeepAliveRequest request;
    request.set_id(id_);
    pb::LeaseKeepAliveResponse response;
    while (!done_) {
      if (!stream_->write(request) || !stream_->read(&response) || response.ttl() <= 0) break;
      auto wake =
          std::chrono::steady_clock::now() + std::chrono::milliseconds(response.ttl() * 1000 / 3);
      while (!done_ && std::chrono::steady_clock::now() < wake) std::this_thread::sleep_for(kPoll);
    }
    expired_ = true;
  }

  const int64_t id_;
  std::unique_ptr<KeepAliveStream> stream_;
  std::atomic<bool> done_ = false;
  std::atomic<bool> expired_ = false;
  std::thread thread_;
};

// Our place in the queue below `prefix`.
struct Place {
  std::string prefix;
  std::string key;
  int64_t created = 0;  // the revision our key was created at
  int64_t held_at = 0;  // the store's revision when we came first
};

absl::StatusOr<int64_t> grant_lease(Client& client, int64_t ttl) {
  pb::LeaseGrantRequest request;
  request.set_ttl(ttl);
  auto response = client.call(request, std::nullopt);
  if (!response.ok()) return response.status();
  return response->id();
}

// Writes our key unless it is there.
absl::StatusOr<Place> enter(Client& client, const std::string& name, int64_t lease,
                            const std::string& value) {
  Place place{name + "/", "", 0, 0};
  place.key = place.prefix + hex(static_cast<uint64_t>(lease));
  pb::TxnRequest txn;
  pb::Compare& absent = *txn.add_compare();
  absent.set_target(pb::Compare::CREATE);
  absent.set_key(place.key);
  absent.set_create_revision(0);
  pb::PutRequest& put = *txn.add_success()->mutable_request_put();
  put.set_key(place.key);
  put.set_value(value);
  put.set_lease(lease);
  txn.add_failure()->mutable_request_range()->set_key(place.key);
  auto response = client.call(txn, std::nullopt);
  if (!response.ok()) return response.status();
  place.created = response->header().revision();
  if (!response->succeeded()) {
    place.created = response->responses(0).response_range().kvs(0).create_revision();
  }
  place.held_at = response->header().revision();
  return place;
}

absl::Status leave(Client& client, const Place& place) {
  pb::DeleteRangeRequest request;
  request.set_key(place.key);
  return client.call(request, std::nullopt).status();
}

// The youngest key older than ours, if any.
absl::StatusOr<pb::RangeResponse> predecessor(Client& client, const Place& place) {
  pb::RangeRequest request;
  request.set_key(place.prefix);
  request.set_range_end(prefix_end(place.prefix));
  request.set_sort_order(pb::RangeRequest::DESCEND);
  request.set_sort_target(pb::RangeRequest::CREATE);
  request.set_limit(1);
  request.set_max_create_revision(place.created - 1);
  return client.call(request, std::nullopt);
}

// Waits for `key` to be deleted after `revision`, or for a signal.
absl::Status await_deletion(Client& client, const std::string& key, int64_t revision) {
  auto stream = client.watch();
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(key);
  request.mutable_create_request()->set_start_revision(revision);
  if (!stream->write(request)) return stream->finish();
  std::atomic<bool> over = false;
  std::thread canceller([&] {
    while (!over && stop_wanted == 0) std::this_thread::sleep_for(kPoll);
    if (!over) stream->cancel();
  });
  bool deleted = false;
  pb::WatchResponse response;
  while (!deleted && stream->read(&response)) {
    for (const auto& event : response.events()) deleted |= event.type() == mvccpb::Event::DELETE;
    if (response.canceled()) break;
  }
  over = true;
  canceller.join();
  if (deleted) return absl::OkStatus();
  if (stop_wanted != 0) return absl::CancelledError("context canceled");
  return absl::UnavailableError("lost watcher waiting for delete");
}

// Returns when nobody is before us. Gives up our place if that fails.
absl::Status await_turn(Client& client, Place& place) {
  while (true) {
    auto before = predecessor(client, place);
    absl::Status status = before.status();
    if (status.ok()) {
      place.held_at = before->header().revision();
      if (before->kvs().empty()) return status;
      status = await_deletion(client, before->kvs(0).key(), before->header().revision());
    }
    if (status.ok()) continue;
    (void)leave(client, place);  // the wait's failure is what matters
    return status;
  }
}

absl::Status show_key(Session& session, const Place& place) {
  pb::RangeRequest request;
  request.set_key(place.key);
  auto response = session.client->call(request, std::nullopt);
  if (!response.ok()) return response.status();
  if (response->kvs().empty()) return failure(ExitCode::kError, "lock lost on init");
  return session.printer->get(*response);
}

// Holds until a signal comes or the lease is lost.
absl::Status hold(Session& session, const LeaseKeeper& keeper, const Place& place,
                  std::string_view expired) {
  while (stop_wanted == 0) {
    if (keeper.expired()) return failure(ExitCode::kError, expired);
    std::this_thread::sleep_for(kPoll);
  }
  return leave(*session.client, place);
}

absl::Status run_locked(Session& session, const Place& place,
                        const std::vector<std::string>& command) {
  auto code = run_program(command,
                          {cat("ETCD_LOCK_KEY=", place.key), cat("ETCD_LOCK_REV=", place.held_at)});
  absl::Status left = leave(*session.client, place);
  if (!code.ok()) return code.status();
  if (*code != 0) {
    absl::Status status = failure(ExitCode::kError, cat("exit status ", *code));
    return with_exit_code(status, static_cast<ExitCode>(*code));
  }
  return left;
}

absl::Status run_lock(Invocation& in) {
  if (in.args().empty()) {
    return failure(ExitCode::kBadArgs,
                   "lock takes a lock name argument and an optional command to execute");
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  catch_signals();
  auto lease = grant_lease(*session->client, in.flags.integer("ttl"));
  if (!lease.ok()) return lease.status();
  LeaseKeeper keeper(*session->client, *lease);
  auto place = enter(*session->client, in.args()[0], *lease, "");
  if (!place.ok()) return place.status();
  if (absl::Status status = await_turn(*session->client, *place); !status.ok()) return status;
  if (in.args().size() > 1) {
    return run_locked(*session, *place, {in.args().begin() + 1, in.args().end()});
  }
  if (absl::Status status = show_key(*session, *place); !status.ok()) return status;
  in.console.out.flush();
  return hold(*session, keeper, *place, "session expired");
}

absl::Status campaign(Invocation& in, Session& session) {
  auto lease = grant_lease(*session.client, kElectionTtl);
  if (!lease.ok()) return lease.status();
  LeaseKeeper keeper(*session.client, *lease);
  auto place = enter(*session.client, in.args()[0], *lease, in.args()[1]);
  if (!place.ok()) return place.status();
  if (absl::Status status = await_turn(*session.client, *place); !status.ok()) return status;
  if (absl::Status status = show_key(session, *place); !status.ok()) return status;
  in.console.out.flush();
  return hold(session, keeper, *place, "elect: session expired");
}

// Shows each leader once, when its key or proposal changes.
absl::Status observe(Invocation& in, Session& session) {
  const std::string prefix = in.args()[0] + "/";
  int64_t shown = 0;
  pb::RangeRequest request;
  request.set_key(prefix);
  request.set_range_end(prefix_end(prefix));
  request.set_sort_order(pb::RangeRequest::ASCEND);
  request.set_sort_target(pb::RangeRequest::CREATE);
  request.set_limit(1);
  while (stop_wanted == 0) {
    auto leader = session.client->call(request, std::nullopt);
    if (!leader.ok()) return leader.status();
    if (!leader->kvs().empty() && leader->kvs(0).mod_revision() != shown) {
      shown = leader->kvs(0).mod_revision();
      if (absl::Status status = session.printer->get(*leader); !status.ok()) return status;
      in.console.out.flush();
    }
    std::this_thread::sleep_for(kPoll);
  }
  return absl::OkStatus();
}

absl::Status run_elect(Invocation& in) {
  size_t count = in.args().size();
  if (count != 1 && count != 2) {
    return failure(ExitCode::kBadArgs,
                   "elect takes one election name argument and an optional proposal argument");
  }
  bool listen = in.flags.boolean("listen");
  if (count == 1 && !listen) {
    return failure(ExitCode::kBadArgs, "no proposal argument but -l not set");
  }
  if (count == 2 && listen) {
    return failure(ExitCode::kBadArgs, "proposal given but -l is set");
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  catch_signals();
  return listen ? observe(in, *session) : campaign(in, *session);
}

}  // namespace

std::vector<Command> lock_commands() {
  std::string group(kConcurrencyGroup);
  return {{.use = "lock <lockname> [exec-command arg1 arg2 ...]",
           .brief = "Acquires a named lock",
           .details = "",
           .group = group,
           .flags = {{.name = "ttl",
                      .type = FlagType::kInt,
                      .default_value = "10",
                      .usage = "timeout for session"}},
           .run = run_lock},
          {.use = "elect <election-name> [proposal]",
           .brief = "Observes and participates in leader election",
           .details = "",
           .group = group,
           .flags = {{.name = "listen",
                      .shorthand = 'l',
                      .type = FlagType::kBool,
                      .default_value = "false",
                      .usage = "observation mode"}},
           .run = run_elect}};
}

}  // namespace keelson::ctl
