#include "apply/alarms.h"

#include "base/check.h"

namespace keelson::apply {
namespace {

std::string encode(const Alarm& alarm) {
  etcdserverpb::AlarmMember record;
  record.set_memberid(alarm.member.value);
  record.set_alarm(alarm.type);
  return record.SerializeAsString();
}

// A record in another form than ours would come back with every start: what is deleted is the form
// that encode() makes, which is Go's.
absl::StatusOr<Alarm> decode(std::string_view key) {
  etcdserverpb::AlarmMember record;
  if (record.ParseFromArray(key.data(), static_cast<int>(key.size()))) {
    Alarm alarm{record.alarm(), MemberId(record.memberid())};
    if (alarm.type != etcdserverpb::NONE && encode(alarm) == key) return alarm;
  }
  return absl::DataLossError("a record of bucket alarm is none; restore a backup");
}

}  // namespace

absl::Status Alarms::restore(const backend::Reader& backend) {
  alarms_.clear();
  auto records = backend.iterate(backend::Bucket::kAlarm);
  for (records->seek_to_first(); records->valid(); records->next()) {
    absl::StatusOr<Alarm> alarm = decode(records->key());
    if (!alarm.ok()) return alarm.status();
    const bool fresh = alarms_.insert(*alarm).second;
    CHECK(fresh);  // keys differ, and each has one form
  }
  refresh();
  return records->status();
}

bool Alarms::activate(Alarm alarm, backend::WriteBatch& batch) {
  CHECK(alarm.type != etcdserverpb::NONE);
  if (!alarms_.insert(alarm).second) return false;
  batch.put(backend::Bucket::kAlarm, encode(alarm), {});
  refresh();
  CHECK(any(alarm.type));
  return true;
}

bool Alarms::deactivate(Alarm alarm, backend::WriteBatch& batch) {
  if (alarms_.erase(alarm) == 0) return false;
  CHECK(alarm.type != etcdserverpb::NONE);
  batch.del(backend::Bucket::kAlarm, encode(alarm));
  refresh();
  return true;
}

std::vector<Alarm> Alarms::get(etcdserverpb::AlarmType type) const {
  std::vector<Alarm> found;
  for (const Alarm& alarm : alarms_) {
    if (type == etcdserverpb::NONE || alarm.type == type) found.push_back(alarm);
  }
  return found;
}

bool Alarms::any(etcdserverpb::AlarmType type) const {
  auto first = alarms_.lower_bound({type, MemberId(0)});
  return first != alarms_.end() && first->type == type;
}

void Alarms::refresh() {
  no_space_.store(any(etcdserverpb::NOSPACE), std::memory_order_release);
  corrupt_.store(any(etcdserverpb::CORRUPT), std::memory_order_release);
  all_.store(std::make_shared<const std::vector<Alarm>>(alarms_.begin(), alarms_.end()),
             std::memory_order_release);
  check_invariants();
}

void Alarms::check_invariants() const {
  CHECK(!any(etcdserverpb::NONE));
  CHECK(no_space() == any(etcdserverpb::NOSPACE));
  CHECK(corrupt() == any(etcdserverpb::CORRUPT));
}

}  // namespace keelson::apply
