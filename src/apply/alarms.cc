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

}  // namespace

absl::Status Alarms::restore(const backend::Reader& backend) {
  alarms_.clear();
  auto records = backend.iterate(backend::Bucket::kAlarm);
  for (records->seek_to_first(); records->valid(); records->next()) {
    etcdserverpb::AlarmMember record;
    std::string_view key = records->key();
    if (!record.ParseFromArray(key.data(), static_cast<int>(key.size()))) {
      return absl::DataLossError("a record of bucket alarm does not parse; restore a backup");
    }
    alarms_.insert({record.alarm(), MemberId(record.memberid())});
  }
  refresh();
  return records->status();
}

bool Alarms::activate(Alarm alarm, backend::WriteBatch& batch) {
  CHECK(alarm.type != etcdserverpb::NONE);
  if (!alarms_.insert(alarm).second) return false;
  batch.put(backend::Bucket::kAlarm, encode(alarm), {});
  refresh();
  CHECK(alarm.type != etcdserverpb::NOSPACE || no_space());
  CHECK(alarm.type != etcdserverpb::CORRUPT || corrupt());
  return true;
}

bool Alarms::deactivate(Alarm alarm, backend::WriteBatch& batch) {
  if (alarms_.erase(alarm) == 0) return false;
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

void Alarms::refresh() {
  no_space_.store(!get(etcdserverpb::NOSPACE).empty(), std::memory_order_release);
  corrupt_.store(!get(etcdserverpb::CORRUPT).empty(), std::memory_order_release);
}

}  // namespace keelson::apply
