#include "proxy/registration.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "ctl/json_text.h"
#include "proxy/own_stream.h"

namespace keelson::proxy {
namespace {

constexpr Duration kPause = std::chrono::seconds(1);

// What etcd's resolvers read. The metadata is JSON in a text.
std::string value_of(const RegistrationConfig& config) {
  const std::string metadata = cat("{\"name\":", ctl::json_string(config.name), "}");
  return cat("{\"Op\":0,\"Addr\":", ctl::json_string(config.address),
             ",\"Metadata\":", ctl::json_string(metadata), "}");
}

// Nothing, if it is none of ours.
std::optional<etcdserverpb::Member> member_of(const std::string& value) {
  const auto update = nlohmann::json::parse(value, nullptr, false);
  if (!update.is_object() || !update.contains("Addr") || !update["Addr"].is_string()) {
    return std::nullopt;
  }
  etcdserverpb::Member member;
  member.add_clienturls(update["Addr"].get<std::string>());
  if (!update.contains("Metadata") || !update["Metadata"].is_string()) return member;
  const auto metadata =
      nlohmann::json::parse(update["Metadata"].get<std::string>(), nullptr, false);
  if (metadata.is_object() && metadata.contains("name") && metadata["name"].is_string()) {
    member.set_name(metadata["name"].get<std::string>());
  }
  return member;
}

}  // namespace

class Registration::LeaseSink final : public OwnSink {
 public:
  explicit LeaseSink(std::weak_ptr<Registration> registration)
      : registration_(std::move(registration)) {}
  void send(Parts message) override {
    etcdserverpb::LeaseKeepAliveResponse response;
    const auto self = registration_.lock();
    if (!self || !response.ParseFromString(message.flat())) return;
    self->renewed(response.id(), response.ttl());
  }
  // The lease may live on: it is asked for again, in time.
  void end(absl::Status /*why*/) override {}

 private:
  const std::weak_ptr<Registration> registration_;
};

class Registration::WatchSink final : public OwnSink {
 public:
  WatchSink(std::weak_ptr<Registration> registration, uint64_t sight)
      : registration_(std::move(registration)), sight_(sight) {}
  void send(Parts message) override {
    etcdserverpb::WatchResponse response;
    const auto self = registration_.lock();
    if (!self || !response.ParseFromString(message.flat())) return;
    self->heard(response);
    if (response.canceled()) self->lost(sight_);
  }
  void end(absl::Status why) override {
    log::warn("lost sight of the other proxies", {{"error", message_of(why)}});
    if (const auto self = registration_.lock()) self->lost(sight_);
  }

 private:
  const std::weak_ptr<Registration> registration_;
  const uint64_t sight_;
};

template <typename Response, typename Request, typename Done>
void Registration::ask(std::string path, const Request& request, Done done) {
  ask_for_self<Response>(deps_.client, deps_.lane, SystemClock(), std::move(path), request,
                         [self = shared_from_this(),
                          done = std::move(done)](absl::StatusOr<Response> response) mutable {
                           if (!self->stopped_) done(std::move(response));
                         });
}

void Registration::start() {
  deps_.lane.post([self = shared_from_this()] {
    self->keeper_ = self->deps_.keep_alives.join(std::make_shared<LeaseSink>(self), {});
    self->grant();
    self->list();
  });
}

void Registration::stop() {
  deps_.lane.post([self = shared_from_this()] {
    self->stopped_ = true;
    self->deps_.keep_alives.leave(self->keeper_);
    self->deps_.watches.leave(self->watcher_);
    if (self->lease_ == 0) return;
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(self->lease_);
    self->ask<etcdserverpb::LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request,
                                                 [](auto) {});
  });
}

std::vector<etcdserverpb::Member> Registration::members() const {
  std::lock_guard lock(mutex_);
  std::vector<etcdserverpb::Member> all;
  for (const auto& [key, member] : members_) all.push_back(member);
  return all;
}

// ---- its own key

void Registration::begin_anew() {
  lease_ = 0;
  deps_.lane.post_after(kPause, [self = shared_from_this()] {
    if (!self->stopped_) self->grant();
  });
}

void Registration::grant() {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(config_.ttl);
  ask<etcdserverpb::LeaseGrantResponse>(
      "/etcdserverpb.Lease/LeaseGrant", request,
      [this](absl::StatusOr<etcdserverpb::LeaseGrantResponse> response) {
        if (response.ok()) return granted(response->id());
        log::warn("failed to create a session", {{"error", message_of(response.status())}});
        begin_anew();
      });
}

void Registration::granted(int64_t lease) {
  lease_ = lease;
  etcdserverpb::PutRequest request;
  request.set_key(cat(config_.prefix, "/", config_.address));
  request.set_value(value_of(config_));
  request.set_lease(lease);
  if (!deps_.prefix.empty()) deps_.prefix.add_to(&request).IgnoreError();  // there is a key
  ask<etcdserverpb::PutResponse>(
      "/etcdserverpb.KV/Put", request,
      [this, lease](absl::StatusOr<etcdserverpb::PutResponse> response) {
        if (!response.ok()) {
          log::warn("failed to create a session", {{"error", message_of(response.status())}});
          return begin_anew();
        }
        log::info("registered session with lease",
                  {{"addr", config_.address}, {"lease-ttl", config_.ttl}});
        renew_later(lease);
      });
}

void Registration::renew_later(int64_t lease) {
  const Duration third = std::chrono::milliseconds(config_.ttl * 1000 / 3);
  deps_.lane.post_after(third, [self = shared_from_this(), lease] {
    if (self->stopped_ || self->lease_ != lease) return;
    self->deps_.keep_alives.renew(self->keeper_, lease);
    self->renew_later(lease);
  });
}

void Registration::renewed(int64_t lease, int64_t ttl) {
  if (stopped_ || lease != lease_ || ttl > 0) return;
  log::warn("session expired; possible network partition or server restart");
  log::warn("creating a new session to rejoin");
  begin_anew();
}

// ---- the others'

// Later: whoever says so is the hub, in the middle of telling all its clients.
void Registration::lost(uint64_t sight) {
  deps_.lane.post([self = shared_from_this(), sight] {
    if (self->stopped_ || sight != self->sight_) return;
    ++self->sight_;
    self->deps_.watches.leave(std::exchange(self->watcher_, 0));
    self->list_later();
  });
}

void Registration::list_later() {
  deps_.lane.post_after(kPause, [self = shared_from_this()] {
    if (!self->stopped_) self->list();
  });
}

void Registration::list() {
  etcdserverpb::RangeRequest request;
  request.set_key(config_.prefix + "/");
  request.set_range_end(config_.prefix + "0");                             // the next character
  if (!deps_.prefix.empty()) deps_.prefix.add_to(&request).IgnoreError();  // there is a key
  ask<etcdserverpb::RangeResponse>("/etcdserverpb.KV/Range", request,
                                   [this](absl::StatusOr<etcdserverpb::RangeResponse> response) {
                                     response.ok() ? listed(*response) : list_later();
                                   });
}

void Registration::listed(const etcdserverpb::RangeResponse& response) {
  {
    std::lock_guard lock(mutex_);
    members_.clear();
  }
  for (mvccpb::KeyValue kv : response.kvs()) {
    if (!deps_.prefix.empty()) deps_.prefix.take_from(&kv);
    note(kv);
  }
  etcdserverpb::WatchCreateRequest range;
  range.set_key(config_.prefix + "/");
  range.set_range_end(config_.prefix + "0");
  if (!deps_.prefix.empty()) deps_.prefix.add_to(&range);
  watcher_ = deps_.watches.join(std::make_shared<WatchSink>(weak_from_this(), sight_), {});
  deps_.watches.create(
      watcher_,
      {.key = range.key(), .end = range.range_end(), .start = response.header().revision() + 1});
}

void Registration::note(const mvccpb::KeyValue& kv) {
  std::optional<etcdserverpb::Member> member = member_of(kv.value());
  if (!member) return log::warn("a proxy's key cannot be read", {{"key", kv.key()}});
  std::lock_guard lock(mutex_);
  members_[kv.key()] = *std::move(member);
}

void Registration::heard(const etcdserverpb::WatchResponse& response) {
  if (stopped_) return;
  for (const mvccpb::Event& event : response.events()) {
    if (event.type() != mvccpb::Event::DELETE) {
      note(event.kv());
      continue;
    }
    std::lock_guard lock(mutex_);
    members_.erase(event.kv().key());
  }
}

}  // namespace keelson::proxy
