#include "tests/crash/checker.h"

#include <algorithm>

#include "base/text.h"
#include "tests/harness/schema.h"

namespace keelson::crash {
namespace {

using namespace etcdserverpb;
using harness::Milliseconds;
using Kind = Write::Kind;

constexpr int64_t kLeasesPerClient = 1000000;
constexpr Milliseconds kPatience{20000};

absl::Status wrong(const std::string& what) { return absl::DataLossError(what); }

absl::Status answered(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// A range of everything there is.
RangeRequest everything() {
  RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  return request;
}

bool same(const mvccpb::Event& event, const Version& version) {
  if (version.tombstone) {
    return event.type() == mvccpb::Event::DELETE && event.kv().key() == version.kv.key() &&
           event.kv().mod_revision() == version.main;
  }
  return event.type() == mvccpb::Event::PUT &&
         event.kv().SerializeAsString() == version.kv.SerializeAsString();
}

absl::Status compare(int64_t revision, const std::vector<mvccpb::Event>& events,
                     const std::vector<Version>& versions) {
  bool equal = events.size() == versions.size();
  for (size_t i = 0; equal && i < events.size(); ++i) equal = same(events[i], versions[i]);
  if (equal) return absl::OkStatus();
  std::string text = cat("revision ", revision, " has other events than its write:\n");
  for (const auto& event : events) text += cat("  got      ", harness::to_text(event), "\n");
  for (const Version& version : versions) {
    text += cat("  expected ", version.tombstone ? "delete " : "put ", harness::to_text(version.kv),
                "\n");
  }
  return wrong(text);
}

// "c7/3" is client 7's.
int owner(const std::string& key) {
  return key.size() > 1 && key[0] == 'c' ? std::atoi(key.c_str() + 1) : -1;
}

}  // namespace

int64_t Checker::lease_of(int client) const {
  for (int64_t lease : leases_) {
    if (lease / kLeasesPerClient == client) return lease;
  }
  return 0;
}

absl::Status Checker::check(harness::Client& client, const Writes& writes,
                            const std::vector<mvccpb::Event>& watched) {
  explained_.clear();
  for (const auto& list : writes) {
    for (const Write& write : list) {
      if (!write.failed) ++(write.acknowledged ? acknowledged_ : in_doubt_);
    }
  }
  auto fresh = history(client, model_.revision() + 1);
  if (!fresh.ok()) return fresh.status();
  if (absl::Status status = check_watched(*fresh, watched); !status.ok()) return status;
  for (const Events& events : *fresh) {
    absl::Status status = explain(model_.revision() + 1, events, writes);
    if (!status.ok()) return status;
  }
  absl::Status status = nothing_lost(writes);
  if (status.ok()) status = check_leases(client, writes);
  if (status.ok()) status = check_hashes(client, writes);
  if (status.ok()) status = check_history(client);
  if (status.ok()) status = check_keys(client);
  return status;
}

// The events of each revision from `from` to the newest, without gaps.
absl::StatusOr<std::vector<Checker::Events>> Checker::history(harness::Client& client,
                                                              int64_t from) const {
  RangeResponse now;
  absl::Status status = answered(client.unary("/etcdserverpb.KV/Range", everything(), &now));
  if (!status.ok()) return status;
  std::vector<Events> out;
  const int64_t last = now.header().revision();
  if (last < from - 1) return wrong(cat("the newest revision is ", last, ", was ", from - 1));
  auto stream = client.stream("/etcdserverpb.Watch/Watch", {Milliseconds(120000), {}});
  WatchRequest request;
  auto* create = request.mutable_create_request();
  create->set_key(std::string(1, '\0'));
  create->set_range_end(std::string(1, '\0'));
  create->set_start_revision(from);
  stream->send(request.SerializeAsString());
  while (from + static_cast<int64_t>(out.size()) <= last || (!out.empty() && out.back().empty())) {
    const auto body = stream->receive(kPatience);
    if (!body.has_value()) {
      return absl::UnavailableError(
          cat("the watch fell silent at ", from + out.size(), " of ", last));
    }
    WatchResponse response;
    if (!response.ParseFromString(*body)) return wrong("a watch response does not parse");
    if (response.canceled()) return absl::UnavailableError(response.cancel_reason());
    for (const mvccpb::Event& event : response.events()) {
      const int64_t at = event.kv().mod_revision();
      const int64_t newest = from + static_cast<int64_t>(out.size()) - 1;
      if (at == newest + 1) out.emplace_back();
      if (at != newest && at != newest + 1) {
        return wrong(cat("the watch goes from revision ", newest, " to ", at));
      }
      if (out.empty()) return wrong(cat("an event of revision ", at, " before ", from));
      out.back().push_back(event);
    }
  }
  return out;
}

// The live watch began where the last check ended: it must be the beginning of the same history,
// whole revisions only.
absl::Status Checker::check_watched(const std::vector<Events>& fresh,
                                    const std::vector<mvccpb::Event>& watched) {
  size_t at = 0;
  for (const Events& events : fresh) {
    if (at == watched.size()) break;
    for (const mvccpb::Event& event : events) {
      if (at < watched.size() && watched[at].SerializeAsString() == event.SerializeAsString()) {
        ++at;
        continue;
      }
      return wrong(cat("a watcher saw ",
                       at < watched.size() ? harness::to_text(watched[at]) : "half a revision",
                       "\n  where the history has ", harness::to_text(event)));
    }
  }
  if (at < watched.size()) {
    return wrong(cat("a watcher saw an event that is gone: ", harness::to_text(watched[at])));
  }
  watched_ += static_cast<int>(watched.size());
  return absl::OkStatus();
}

absl::Status Checker::explain(int64_t revision, const Events& events, const Writes& writes) {
  const int client = owner(events.front().kv().key());
  if (client < 0 || client >= static_cast<int>(writes.size())) {
    return wrong(cat("revision ", revision, " is nobody's: ", harness::to_text(events.front())));
  }
  const Write* maker = nullptr;
  for (const Write& write : writes[static_cast<size_t>(client)]) {
    if (write.kind != Kind::kTxn && write.kind != Kind::kRevoke) continue;
    const bool claims = write.acknowledged && write.revision == revision;
    const bool doubtful = !write.acknowledged && !write.failed && !explained_.contains(&write);
    if (claims || doubtful) maker = &write;
    if (claims) break;
  }
  if (maker == nullptr) {
    return wrong(cat("nobody made revision ", revision, ": ", harness::to_text(events.front())));
  }
  explained_.insert(maker);
  if (!maker->acknowledged) ++survived_;
  const bool changed =
      maker->kind == Kind::kTxn ? model_.apply(maker->txn) : model_.revoke(maker->number);
  if (!changed)
    return wrong(cat("revision ", revision, " of a write that changes nothing: ", maker->text()));
  absl::Status status = compare(revision, events, model_.changes_at(revision));
  if (status.ok()) return status;
  return wrong(cat(status.message(), "  ", maker->text()));
}

absl::Status Checker::nothing_lost(const Writes& writes) const {
  for (const auto& list : writes) {
    for (const Write& write : list) {
      if (write.acknowledged && write.changes && !explained_.contains(&write)) {
        return wrong(cat("lost: ", write.text()));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Checker::check_history(harness::Client& client) const {
  const int64_t from = std::max<int64_t>(2, compacted_ + 1);
  auto all = history(client, from);
  if (!all.ok()) return all.status();
  for (size_t i = 0; i < all->size(); ++i) {
    const int64_t revision = from + static_cast<int64_t>(i);
    absl::Status status = compare(revision, (*all)[i], model_.changes_at(revision));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Checker::check_keys(harness::Client& client) const {
  RangeResponse response;
  absl::Status status = answered(client.unary("/etcdserverpb.KV/Range", everything(), &response));
  if (!status.ok()) return status;
  if (response.count() != static_cast<int64_t>(model_.keys().size()) ||
      response.kvs_size() != response.count()) {
    return wrong(cat(response.kvs_size(), " keys instead of ", model_.keys().size()));
  }
  int at = 0;
  for (const auto& [key, kv] : model_.keys()) {
    if (response.kvs(at++).SerializeAsString() != kv.SerializeAsString()) {
      return wrong(cat("key ", key, " is ", harness::to_text(response.kvs(at - 1)),
                       "\n  instead of ", harness::to_text(kv)));
    }
  }
  return absl::OkStatus();
}

absl::Status Checker::check_leases(harness::Client& client, const Writes& writes) {
  std::set<int64_t> unsure;
  for (const auto& list : writes) {
    for (const Write& write : list) {
      if (write.kind != Kind::kGrant && write.kind != Kind::kRevoke) continue;
      if (!write.acknowledged) unsure.insert(write.number);
      if (write.acknowledged && write.kind == Kind::kGrant) leases_.insert(write.number);
      if (write.kind == Kind::kRevoke && (write.acknowledged || explained_.contains(&write))) {
        leases_.erase(write.number);
        if (!write.acknowledged) unsure.erase(write.number);
      }
    }
  }
  LeaseLeasesResponse response;
  absl::Status status =
      answered(client.unary("/etcdserverpb.Lease/LeaseLeases", LeaseLeasesRequest(), &response));
  if (!status.ok()) return status;
  std::set<int64_t> there;
  for (const LeaseStatus& lease : response.leases()) there.insert(lease.id());
  for (int64_t lease : there) {
    if (!leases_.contains(lease) && !unsure.contains(lease))
      return wrong(cat("lease ", lease, "?"));
  }
  for (int64_t lease : leases_) {
    if (!there.contains(lease) && !unsure.contains(lease)) return wrong(cat("no lease ", lease));
  }
  leases_ = there;
  for (int64_t lease : leases_) {
    if (status = check_lease_keys(client, lease); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Checker::check_lease_keys(harness::Client& client, int64_t lease) const {
  LeaseTimeToLiveRequest request;
  request.set_id(lease);
  request.set_keys(true);
  LeaseTimeToLiveResponse response;
  absl::Status status =
      answered(client.unary("/etcdserverpb.Lease/LeaseTimeToLive", request, &response));
  if (!status.ok()) return status;
  std::vector<std::string> keys(response.keys().begin(), response.keys().end());
  std::sort(keys.begin(), keys.end());
  return keys == model_.keys_of(lease) ? absl::OkStatus() : wrong(cat("keys of lease ", lease));
}

absl::Status Checker::check_hashes(harness::Client& client, const Writes& writes) {
  std::set<int64_t> unsure;
  for (const auto& list : writes) {
    for (const Write& write : list) {
      if (write.kind != Kind::kCompact || write.failed) continue;
      if (write.acknowledged) compacted_ = std::max(compacted_, write.number);
      if (!write.acknowledged) unsure.insert(write.number);
    }
  }
  const int64_t now = model_.revision();
  for (int which = 0; which < 3; ++which) {
    // The first answer says whether a compaction in doubt was done; the last revision depends on
    // it.
    const int64_t revision = which == 0   ? 0
                             : which == 1 ? now
                                          : (std::max<int64_t>(compacted_, 1) + now) / 2;
    HashKVRequest request;
    request.set_revision(revision);
    HashKVResponse response;
    absl::Status status =
        answered(client.unary("/etcdserverpb.Maintenance/HashKV", request, &response));
    if (!status.ok()) return status;
    if (response.compact_revision() != compacted_) {
      if (!unsure.contains(response.compact_revision())) {
        return wrong(cat("compacted at ", response.compact_revision(), ", not ", compacted_));
      }
      compacted_ = response.compact_revision();
    }
    const uint32_t expected = model_.hash(revision == 0 ? now : revision, compacted_);
    if (response.hash() != expected) {
      return wrong(cat("hash at ", revision, " is ", response.hash(), ", not ", expected,
                       " (compacted at ", compacted_, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::crash
