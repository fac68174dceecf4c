#include "proxy/kv.h"

#include <functional>
#include <utility>

#include "base/errors.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proxy/forward.h"
#include "proxy/messages.h"

namespace keelson::proxy {

namespace pb = etcdserverpb;

namespace {

constexpr size_t kMostComing = 1024;

// Who asks for what. All that the cluster may know who asks by counts, each part with its length.
std::string cache_key(const net::ServerCall& call, std::string_view request) {
  std::string key;
  for (const auto& [name, value] : identity_of(call)) {
    key += cat(name, ":", value.size(), ":", value);
  }
  return cat(key, ";", request);
}

void collect(const pb::TxnRequest& txn, std::vector<KeySpan>* keys) {
  for (const pb::Compare& compare : txn.compare()) {
    keys->push_back({compare.key(), compare.range_end()});
  }
  for (const auto* ops : {&txn.success(), &txn.failure()}) {
    for (const pb::RequestOp& op : *ops) {
      if (op.has_request_put()) keys->push_back({op.request_put().key(), ""});
      if (op.has_request_delete_range()) {
        keys->push_back({op.request_delete_range().key(), op.request_delete_range().range_end()});
      }
      if (op.has_request_txn()) collect(op.request_txn(), keys);
    }
  }
}

// Takes the namespace out of an answer.
template <typename Response>
absl::StatusOr<Parts> without(const KeyPrefix& prefix, absl::StatusOr<Parts> answered) {
  if (!answered.ok() || prefix.empty()) return answered;
  Response response;
  if (absl::Status s = parse_answer(*answered, &response); !s.ok()) return s;
  prefix.take_from(&response);
  return encoded(response);
}

}  // namespace

// Serializable ones look into the cache first, and all of them leave their answers there.
class Kv::Range final : public net::UnaryHandler {
 public:
  explicit Range(Kv& kv) : kv_(kv) {}

  void handle(net::CallRef call, Bytes message) override {
    auto asked = std::make_unique<Asked>();
    if (absl::Status s = parse(message, &asked->request); !s.ok()) return call->fail(s);
    const bool serializable = asked->request.serializable();
    asked->keys = {asked->request.key(), asked->request.range_end()};
    if (kv_.deps_.leasing && is_plain_read(asked->request)) asked->plain = asked->request;
    asked->request.set_serializable(true);
    asked->cache_key = cache_key(*call, asked->request.SerializeAsString());
    asked->tries = kv_.options_.tries;
    if (kv_.options_.ordered && serializable) asked->not_before = kv_.newest_;
    // The first one says how far the cluster is.
    const bool first = kv_.options_.ordered && serializable && asked->not_before == 0;
    asked->request.set_serializable(serializable && !first);
    if (!kv_.deps_.prefix.empty()) {
      if (absl::Status s = kv_.deps_.prefix.add_to(&asked->request); !s.ok()) return call->fail(s);
    }
    const bool changed = first || !kv_.deps_.prefix.empty();
    asked->message = changed ? Bytes::copy(asked->request.SerializeAsString()) : std::move(message);
    if (!asked->request.serializable() && !asked->plain) {
      return ask_cluster(std::move(call), std::move(asked));
    }
    kv_.deps_.lane.post([this, call = std::move(call), asked = std::move(asked)]() mutable {
      look_up(std::move(call), std::move(asked));
    });
  }

 private:
  struct Asked {
    pb::RangeRequest request;
    KeySpan keys;
    std::optional<pb::RangeRequest> plain;  // the client's, if leasing may answer it
    std::string cache_key;
    Bytes message;
    int64_t not_before = 0;  // revision of an answer
    int tries = 0;           // that are left
  };

  void look_up(net::CallRef call, std::unique_ptr<Asked> asked) {
    if (asked->plain) {
      if (std::optional<Parts> found = kv_.deps_.leasing->find(*asked->plain, kv_.newest_)) {
        return net::ServerCall::respond_later(std::move(call), *std::move(found));
      }
    }
    if (asked->request.serializable()) {
      look_into_cache(std::move(call), std::move(asked));
    } else {
      acquire(std::move(call), std::move(asked));
    }
  }

  void look_into_cache(net::CallRef call, std::unique_ptr<Asked> asked) {
    if (kv_.cache_.compacted(asked->request.revision())) {
      kv_.deps_.metrics.cache_hits.add();
      return net::ServerCall::fail_later(std::move(call), errors::Compacted());
    }
    const Parts* known = kv_.cache_.find(asked->cache_key);
    if (known && revision_of(*known) >= asked->not_before) {
      kv_.deps_.metrics.cache_hits.add();
      return net::ServerCall::respond_later(std::move(call), shared(*known));
    }
    kv_.deps_.metrics.cache_misses.add();
    ask_on_loop(std::move(call), std::move(asked));
  }

  // Leasing reads it, or, if it may not or cannot, the client asks for itself.
  void acquire(net::CallRef call, std::unique_ptr<Asked> asked) {
    // shared_ptr: for one of the two.
    auto waiting = std::make_shared<std::pair<net::CallRef, std::unique_ptr<Asked>>>(
        std::move(call), std::move(asked));
    const pb::RangeRequest& plain = *waiting->second->plain;
    const bool may = kv_.deps_.leasing->acquire(plain, [this, waiting](std::optional<Parts> read) {
      auto& [call, asked] = *waiting;
      if (!read) return ask_on_loop(std::move(call), std::move(asked));
      keep(*std::move(asked), *read);
      net::ServerCall::respond_later(std::move(call), *std::move(read));
    });
    if (!may) ask_on_loop(std::move(waiting->first), std::move(waiting->second));
  }

  void ask_on_loop(net::CallRef call, std::unique_ptr<Asked> asked) {
    net::Loop& loop = call->loop();
    loop.post([this, call = std::move(call), asked = std::move(asked)]() mutable {
      ask_cluster(std::move(call), std::move(asked));
    });
  }

  void ask_cluster(net::CallRef call, std::unique_ptr<Asked> asked) {
    outbound::RpcRequest request = request_of(*call, asked->message);
    request.repeatable = true;
    const net::CallRef asking = call;
    ask(kv_.deps_.client, asking, std::move(request),
        [this, call = std::move(call),
         asked = std::move(asked)](absl::StatusOr<Parts> answered) mutable {
          if (answered.ok() && revision_of(*answered) < asked->not_before) {
            return ask_another(std::move(call), std::move(asked));
          }
          answered = without<pb::RangeResponse>(kv_.deps_.prefix, std::move(answered));
          if (answered.ok()) keep(*std::move(asked), *answered);
          answer(std::move(call), std::move(answered));
        });
  }

  // The server is behind.
  void ask_another(net::CallRef call, std::unique_ptr<Asked> asked) {
    if (asked->tries-- <= 0) {
      return net::ServerCall::fail_later(
          std::move(call), absl::UnknownError("etcdclient: no cluster members have a revision "
                                              "higher than the previously received revision"));
    }
    ask_on_loop(std::move(call), std::move(asked));
  }

  void keep(Asked asked, const Parts& answered) {
    const int64_t revision = revision_of(answered);
    kv_.saw(revision);
    if (revision == 0) return;
    if (kv_.coming_.fetch_add(1) >= kMostComing) {
      kv_.coming_.fetch_sub(1);
      return;
    }
    kv_.deps_.lane.post(
        [&kv = kv_, asked = std::move(asked), revision, parts = shared(answered)]() mutable {
          kv.coming_.fetch_sub(1);
          kv.cache_.add(asked.cache_key, asked.keys, asked.request.revision(), revision,
                        std::move(parts));
          kv.show_cache();
        });
  }

  Kv& kv_;
};

void Kv::saw(int64_t revision) {
  int64_t newest = newest_;
  while (newest < revision && !newest_.compare_exchange_weak(newest, revision)) continue;
}

void Kv::written(net::CallRef call, std::vector<KeySpan> keys, absl::StatusOr<Parts> answered) {
  const int64_t revision = answered.ok() ? revision_of(*answered) : 0;
  saw(revision);
  for (const KeySpan& span : keys) cache_.put_out(span, revision);
  show_cache();
  answer(std::move(call), std::move(answered));
}

namespace {

// What each kind of write touches.
std::vector<KeySpan> touched_by(const pb::PutRequest& request) { return {{request.key(), ""}}; }
std::vector<KeySpan> touched_by(const pb::DeleteRangeRequest& request) {
  return {{request.key(), request.range_end()}};
}
std::vector<KeySpan> touched_by(const pb::TxnRequest& request) {
  std::vector<KeySpan> keys;
  collect(request, &keys);
  return keys;
}

// What leasing answers by itself.
template <typename Request>
std::optional<Parts> find_in(Leasing& /*leasing*/, const Request& /*request*/, int64_t /*newest*/) {
  return std::nullopt;
}
std::optional<Parts> find_in(Leasing& leasing, const pb::TxnRequest& request, int64_t newest) {
  return leasing.find(request, newest);
}

// Whether it is more than leasing works for.
template <typename Request>
absl::Status too_much(const Request& /*request*/) {
  return absl::OkStatus();
}
absl::Status too_much(const pb::TxnRequest& request) { return check_size(request); }

using Written = std::function<void(net::CallRef, std::vector<KeySpan>, absl::StatusOr<Parts>)>;

// A request that writes: on to the cluster, or by way of leasing, and then, on the lane, to
// `written`.
template <typename Request, typename Response>
class WriteHandler final : public net::UnaryHandler {
 public:
  // `newest`: the revision of the newest answer.
  WriteHandler(const Kv::Deps& deps, const std::atomic<int64_t>& newest, Written written)
      : deps_(deps), newest_(newest), written_(std::move(written)) {}

  void handle(net::CallRef call, Bytes message) override {
    Request request;
    if (absl::Status s = parse(message, &request); !s.ok()) return call->fail(s);
    if (deps_.leasing) {
      if (absl::Status s = too_much(request); !s.ok()) return call->fail(s);
    }
    std::vector<KeySpan> keys = touched_by(request);
    if (deps_.leasing) return lease(std::move(call), std::move(request), std::move(keys));
    if (!deps_.prefix.empty()) {
      if (absl::Status s = deps_.prefix.add_to(&request); !s.ok()) return call->fail(s);
      message = Bytes::copy(request.SerializeAsString());
    }
    outbound::RpcRequest asked = request_of(*call, std::move(message));
    const net::CallRef asking = call;
    ask(deps_.client, asking, std::move(asked),
        [this, call = std::move(call),
         keys = std::move(keys)](absl::StatusOr<Parts> answered) mutable {
          answered = without<Response>(deps_.prefix, std::move(answered));
          deps_.lane.post([this, call = std::move(call), keys = std::move(keys),
                           answered = std::move(answered)]() mutable {
            written_(std::move(call), std::move(keys), std::move(answered));
          });
        });
  }

 private:
  void lease(net::CallRef call, Request request, std::vector<KeySpan> keys) {
    auto leased = std::make_shared<LeasedCall>(deps_.client, deps_.lane, identity_of(*call),
                                               call->deadline());
    call->on_cancel([leased] { leased->cancel_later(); });
    deps_.lane.post([this, call = std::move(call), leased = std::move(leased),
                     request = std::move(request), keys = std::move(keys)]() mutable {
      if (std::optional<Parts> found = find_in(*deps_.leasing, request, newest_)) {
        return net::ServerCall::respond_later(std::move(call), *std::move(found));
      }
      GuardedForm form(deps_.leasing->keys(), std::move(request));
      deps_.leasing->write(std::move(leased), std::move(form),
                           [this, call = std::move(call),
                            keys = std::move(keys)](absl::StatusOr<Parts> answered) mutable {
                             written_(std::move(call), std::move(keys), std::move(answered));
                           });
    });
  }

  const Kv::Deps& deps_;
  const std::atomic<int64_t>& newest_;
  const Written written_;
};

}  // namespace

class Kv::Compact final : public net::UnaryHandler {
 public:
  explicit Compact(Kv& kv) : kv_(kv) {}

  void handle(net::CallRef call, Bytes message) override {
    pb::CompactionRequest request;
    if (absl::Status s = parse(message, &request); !s.ok()) return call->fail(s);
    const int64_t revision = request.revision();
    outbound::RpcRequest asked = request_of(*call, std::move(message));
    const net::CallRef asking = call;
    ask(kv_.deps_.client, asking, std::move(asked),
        [&kv = kv_, call = std::move(call), revision](absl::StatusOr<Parts> answered) mutable {
          kv.deps_.lane.post(
              [&kv, call = std::move(call), revision, answered = std::move(answered)]() mutable {
                if (answered.ok()) kv.cache_.compact(revision);
                answer(std::move(call), std::move(answered));
              });
        });
  }

 private:
  Kv& kv_;
};

class Kv::RangeStream final : public net::StreamHandler {
 public:
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    call->fail(absl::UnimplementedError("RangeStream is not supported by the gRPC proxy"));
    return std::make_unique<Nobody>();
  }

 private:
  class Nobody final : public net::StreamReceiver {
    void on_message(Bytes /*message*/) override {}
  };
};

Kv::Kv(const Deps& deps, const Options& options)
    : deps_(deps), options_(options), cache_(options.cache) {}
Kv::~Kv() = default;

void Kv::register_on(net::Router& router, const net::MethodOptions& options) {
  const auto add = [&](std::string_view name, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(cat("/etcdserverpb.KV/", name), handler.get(), options);
    handlers_.push_back(std::move(handler));
  };
  add("Range", std::make_unique<Range>(*this));
  const Written written = [this](net::CallRef call, std::vector<KeySpan> keys,
                                 absl::StatusOr<Parts> answered) {
    this->written(std::move(call), std::move(keys), std::move(answered));
  };
  add("Put",
      std::make_unique<WriteHandler<pb::PutRequest, pb::PutResponse>>(deps_, newest_, written));
  add("DeleteRange",
      std::make_unique<WriteHandler<pb::DeleteRangeRequest, pb::DeleteRangeResponse>>(
          deps_, newest_, written));
  add("Txn",
      std::make_unique<WriteHandler<pb::TxnRequest, pb::TxnResponse>>(deps_, newest_, written));
  add("Compact", std::make_unique<Compact>(*this));
  range_stream_ = std::make_unique<RangeStream>();
  router.stream("/etcdserverpb.KV/RangeStream", net::MethodKind::kServerStream, range_stream_.get(),
                options);
}

}  // namespace keelson::proxy
