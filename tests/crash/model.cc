#include "tests/crash/model.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/endian.h"

namespace keelson::crash {
namespace {

using namespace etcdserverpb;

// The key of a version in etcd's "key" bucket.
std::string bucket_key(const Version& version) {
  std::string out =
      big64(static_cast<uint64_t>(version.main)) + '_' + big64(static_cast<uint64_t>(version.sub));
  if (version.tombstone) out += 't';
  return out;
}

}  // namespace

bool Model::holds(const Compare& compare) const {
  const auto found = keys_.find(compare.key());
  const int64_t version = found == keys_.end() ? 0 : found->second.version();
  return compare.result() == Compare::EQUAL ? version == compare.version()
                                            : version > compare.version();
}

bool Model::apply(const TxnRequest& request) {
  bool all = true;
  for (const Compare& compare : request.compare()) all = all && holds(compare);
  run(all ? request.success() : request.failure());
  return commit();
}

void Model::run(const google::protobuf::RepeatedPtrField<RequestOp>& ops) {
  for (const RequestOp& op : ops) {
    if (op.has_request_put()) put(op.request_put());
    if (op.has_request_delete_range()) remove(op.request_delete_range().key());
  }
}

bool Model::revoke(int64_t lease) {
  for (const std::string& key : keys_of(lease)) remove(key);
  return commit();
}

void Model::put(const PutRequest& request) {
  mvccpb::KeyValue kv;
  if (const auto old = keys_.find(request.key()); old != keys_.end()) kv = old->second;
  if (kv.version() == 0) kv.set_create_revision(revision_ + 1);
  kv.set_key(request.key());
  kv.set_value(request.value());
  kv.set_lease(request.lease());
  kv.set_mod_revision(revision_ + 1);
  kv.set_version(kv.version() + 1);
  keys_[request.key()] = kv;
  versions_.push_back({revision_ + 1, sub_++, false, kv});
}

void Model::remove(const std::string& key) {
  if (keys_.erase(key) == 0) return;
  mvccpb::KeyValue kv;
  kv.set_key(key);
  versions_.push_back({revision_ + 1, sub_++, true, kv});
}

bool Model::commit() {
  if (sub_ == 0) return false;
  sub_ = 0;
  ++revision_;
  return true;
}

std::vector<Version> Model::changes_at(int64_t revision) const {
  auto at = std::lower_bound(versions_.begin(), versions_.end(), revision,
                             [](const Version& v, int64_t r) { return v.main < r; });
  std::vector<Version> out;
  for (; at != versions_.end() && at->main == revision; ++at) out.push_back(*at);
  return out;
}

std::vector<std::string> Model::keys_of(int64_t lease) const {
  std::vector<std::string> out;
  for (const auto& [key, kv] : keys_) {
    if (kv.lease() == lease) out.push_back(key);
  }
  return out;
}

// Of each key the version that a reader at `revision` sees.
std::set<std::pair<int64_t, int64_t>> Model::kept(int64_t revision) const {
  std::map<std::string, const Version*> newest;
  for (const Version& version : versions_) {
    if (version.main <= revision) newest[version.kv.key()] = &version;
  }
  std::set<std::pair<int64_t, int64_t>> out;
  for (const auto& [key, version] : newest) {
    if (!version->tombstone) out.emplace(version->main, version->sub);
  }
  return out;
}

uint32_t Model::hash(int64_t revision, int64_t compacted) const {
  const auto keep = kept(revision);
  uint32_t crc = crc32c::extend(0, "key");
  for (const Version& version : versions_) {
    if (version.main > revision) break;
    if (version.main <= compacted && !keep.contains({version.main, version.sub})) continue;
    if (version.main == compacted && version.tombstone) continue;
    crc = crc32c::extend(crc, bucket_key(version));
    crc = crc32c::extend(crc, version.kv.SerializeAsString());
  }
  return crc;
}

}  // namespace keelson::crash
