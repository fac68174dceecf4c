// proxy/test_cluster.h
//
// For tests: a cluster of one revision after the other, whose watches and keep-alives are those of
// etcd's API: a watch begins at its revision, catches up a few events at a time, and goes on; its
// header says the newest revision all the while. Its streams can be broken, or refused.
//
// Threads: the lane's.

#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "outbound/rpc_client.h"
#include "proto/rpc.pb.h"

namespace keelson::proxy {

class TestCluster final : public outbound::RpcClient {
 public:
  struct Event {
    std::string key;
    int64_t revision;
    bool is_delete;
    // The rest of what it says of the key.
    mvccpb::KeyValue kv = {};
  };

  TestCluster(Executor* lane, Random* random) : lane_(*lane), random_(*random) {}

  // ---- what happens

  // One transaction.
  void write(const std::vector<std::pair<std::string, bool>>& keys) {
    ++revision_;
    for (const auto& [key, is_delete] : keys) events_.push_back({key, revision_, is_delete});
  }
  // One transaction, that was made elsewhere. REQUIRES: of the next revision.
  void happened(const std::vector<Event>& events) {
    ++revision_;
    events_.insert(events_.end(), events.begin(), events.end());
  }
  // Some of what there is to do on one of the streams. False: nothing.
  bool step() {
    for (size_t i = 0; i < streams_.size(); ++i) {
      Stream& stream = *streams_[random_.below(streams_.size())];
      if (stream.step()) return true;
    }
    return std::any_of(streams_.begin(), streams_.end(), [](auto& s) { return s->step(); });
  }
  void break_streams(const absl::Status& why) {
    for (const auto& stream : streams_) stream->fail(why);
    forget();
  }
  // From now on new ones fail with it; ok: they do not.
  void refuse(absl::Status why) { refusal_ = std::move(why); }
  void compact(int64_t revision) { compacted_ = revision; }

  // ---- what there is

  int64_t revision() const { return revision_; }
  const std::vector<Event>& events() const { return events_; }
  size_t streams() {
    forget();
    return streams_.size();
  }
  size_t watches() {
    forget();
    size_t all = 0;
    for (const auto& stream : streams_) all += stream->watches.size();
    return all;
  }
  size_t opened = 0;       // streams, ever
  size_t keep_alives = 0;  // asked for
  size_t creations = 0;    // watches, asked for
  std::set<int64_t> leases;
  // What a keep-alive is answered; without it, whether it is one of the leases above.
  std::function<int64_t(int64_t lease)> renew_lease;
  // What unary calls are answered; without it none is.
  std::function<absl::StatusOr<Parts>(const outbound::RpcRequest&)> answer_unary;

  std::shared_ptr<outbound::RpcCall> unary(outbound::RpcRequest request, Done done) override {
    done(answer_unary ? answer_unary(request) : absl::UnimplementedError("only streams"));
    return nullptr;
  }
  std::shared_ptr<outbound::RpcStream> stream(
      outbound::RpcRequest request, Executor* lane,
      std::unique_ptr<outbound::RpcStreamEvents> events) override {
    (void)lane;
    ++opened;
    auto stream = std::make_shared<Stream>(*this, std::move(events));
    stream->keeps_alive = request.path == "/etcdserverpb.Lease/LeaseKeepAlive";
    if (!refusal_.ok()) {
      stream->fail(refusal_);
    } else {
      streams_.push_back(stream);
    }
    return stream;
  }

 private:
  struct Watch {
    std::string key, end;
    bool prev_kv = false;
    size_t next = 0;  // place in events_
  };

  class Stream final : public outbound::RpcStream, public std::enable_shared_from_this<Stream> {
   public:
    Stream(TestCluster& cluster, std::unique_ptr<outbound::RpcStreamEvents> events)
        : cluster_(cluster), events_(std::move(events)) {}

    void read() override { reading_ = true; }
    void write(Bytes message) override { written_ = std::string(message.view()); }
    void half_close() override {}
    void cancel() override { fail(absl::CancelledError("cancelled")); }

    void fail(const absl::Status& why) {
      if (over) return;
      over = true;
      cluster_.lane_.post([self = shared_from_this(), why] {
        self->events_->on_end(why);
        self->events_.reset();
      });
    }

    bool step() {
      if (over) return false;
      if (written_ && cluster_.random_.below(2) == 0) return take();
      if (reading_ && !outgoing_.empty()) return send();
      if (written_) return take();
      return outgoing_.empty() && !keeps_alive && find_events();
    }

    bool over = false;
    bool keeps_alive = false;
    std::map<int64_t, Watch> watches;

   private:
    bool take() {
      const std::string message = *std::exchange(written_, std::nullopt);
      keeps_alive ? renew(message) : watch(message);
      cluster_.lane_.post([self = shared_from_this()] {
        if (!self->over) self->events_->on_written();
      });
      return true;
    }
    void renew(const std::string& message) {
      etcdserverpb::LeaseKeepAliveRequest request;
      request.ParseFromString(message);
      ++cluster_.keep_alives;
      etcdserverpb::LeaseKeepAliveResponse response;
      response.set_id(request.id());
      const auto ttl = [&](int64_t id) { return cluster_.leases.count(id) > 0 ? 60 : 0; };
      response.set_ttl(cluster_.renew_lease ? cluster_.renew_lease(request.id())
                                            : ttl(request.id()));
      outgoing_.push_back(response.SerializeAsString());
    }
    etcdserverpb::WatchResponse answer(int64_t id) const {
      etcdserverpb::WatchResponse response;
      response.mutable_header()->set_revision(cluster_.revision_);
      response.set_watch_id(id);
      return response;
    }
    void watch(const std::string& message) {
      etcdserverpb::WatchRequest request;
      request.ParseFromString(message);
      if (request.has_progress_request()) {
        const bool all = std::all_of(watches.begin(), watches.end(), [&](const auto& entry) {
          return entry.second.next == cluster_.events_.size();
        });
        if (all) outgoing_.push_back(answer(-1).SerializeAsString());
        return;
      }
      if (request.has_cancel_request()) {
        const int64_t id = request.cancel_request().watch_id();
        etcdserverpb::WatchResponse response = answer(id);
        response.set_canceled(true);
        if (watches.erase(id) > 0) outgoing_.push_back(response.SerializeAsString());
        return;
      }
      create(request.create_request());
    }
    void create(const etcdserverpb::WatchCreateRequest& create) {
      ++cluster_.creations;
      etcdserverpb::WatchResponse response = answer(create.watch_id());
      response.set_created(true);
      if (create.key() == "forbidden") {
        response.set_watch_id(-1);
        response.set_canceled(true);
        response.set_cancel_reason("permission denied");
        outgoing_.push_back(response.SerializeAsString());
        return;
      }
      outgoing_.push_back(response.SerializeAsString());
      if (create.start_revision() > 0 && create.start_revision() <= cluster_.compacted_) {
        etcdserverpb::WatchResponse compacted = answer(create.watch_id());
        compacted.set_canceled(true);
        compacted.set_compact_revision(cluster_.compacted_);
        outgoing_.push_back(compacted.SerializeAsString());
        return;
      }
      Watch& watch = watches[create.watch_id()];
      watch = {create.key(), create.range_end(), create.prev_kv(), cluster_.events_.size()};
      if (create.start_revision() == 0) return;
      // A future revision waits until it is there.
      const auto first = std::find_if(
          cluster_.events_.begin(), cluster_.events_.end(),
          [&](const Event& event) { return event.revision >= create.start_revision(); });
      watch.next = static_cast<size_t>(first - cluster_.events_.begin());
      after_[create.watch_id()] = create.start_revision();
    }
    // A message of one watch that is behind, of a few whole revisions.
    bool find_events() {
      for (auto& [id, watch] : watches) {
        if (watch.next >= cluster_.events_.size()) continue;
        etcdserverpb::WatchResponse response = answer(id);
        size_t revisions = 1 + cluster_.random_.below(3);
        int64_t last = 0;
        for (; watch.next < cluster_.events_.size(); ++watch.next) {
          const Event& event = cluster_.events_[watch.next];
          if (event.revision != last && revisions-- == 0) break;
          last = event.revision;
          if (event.revision < after_[id] || !in_range(watch, event.key)) continue;
          mvccpb::Event& out = *response.add_events();
          if (event.is_delete) out.set_type(mvccpb::Event::DELETE);
          *out.mutable_kv() = event.kv;
          out.mutable_kv()->set_key(event.key);
          out.mutable_kv()->set_mod_revision(event.revision);
          if (watch.prev_kv) out.mutable_prev_kv()->set_key(event.key);
        }
        if (response.events_size() > 0) outgoing_.push_back(response.SerializeAsString());
        return true;
      }
      return false;
    }
    static bool in_range(const Watch& watch, const std::string& key) {
      if (watch.end.empty()) return key == watch.key;
      return key >= watch.key && (watch.end == std::string(1, '\0') || key < watch.end);
    }
    bool send() {
      reading_ = false;
      // In pieces, as grpc++ may have them.
      const std::string message = std::move(outgoing_.front());
      outgoing_.pop_front();
      Parts parts;
      const size_t half = message.size() / 2;
      parts.add(Bytes::copy(std::string_view(message).substr(0, half)));
      parts.add(Bytes::copy(std::string_view(message).substr(half)));
      cluster_.lane_.post([self = shared_from_this(), parts = std::move(parts)]() mutable {
        if (!self->over) self->events_->on_message(std::move(parts));
      });
      return true;
    }

    TestCluster& cluster_;
    std::unique_ptr<outbound::RpcStreamEvents> events_;
    bool reading_ = false;
    std::optional<std::string> written_;
    std::deque<std::string> outgoing_;
    std::map<int64_t, int64_t> after_;  // by watch: no event before it
  };

  void forget() {
    std::erase_if(streams_, [](const auto& stream) { return stream->over; });
  }

  Executor& lane_;
  Random& random_;
  int64_t revision_ = 1;
  int64_t compacted_ = 0;
  std::vector<Event> events_;
  absl::Status refusal_;
  std::vector<std::shared_ptr<Stream>> streams_;
};

}  // namespace keelson::proxy
