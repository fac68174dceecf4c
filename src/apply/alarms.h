// apply/alarms.h
//
// Alarms: which member has which trouble. A replicated set, kept in bucket `alarm` as etcd keeps it
// (key: the encoded AlarmMember, no value).
//
// Threads: the apply lane, but for no_space(), corrupt() and all(), which any thread may ask.

#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "base/ids.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

struct Alarm {
  etcdserverpb::AlarmType type = etcdserverpb::NONE;
  MemberId member;
  friend auto operator<=>(const Alarm&, const Alarm&) = default;
};

class Alarms {
 public:
  // DataLoss if a record is none that activate() writes.
  absl::Status restore(const backend::Reader& backend);

  // Whether the set changed; the record goes into `batch`. REQUIRES: a type.
  bool activate(Alarm alarm, backend::WriteBatch& batch);
  bool deactivate(Alarm alarm, backend::WriteBatch& batch);

  // By type, then member; NONE asks for all. [apply lane]
  std::vector<Alarm> get(etcdserverpb::AlarmType type) const;
  bool contains(Alarm alarm) const { return alarms_.contains(alarm); }

  // Any thread.
  bool no_space() const { return no_space_.load(std::memory_order_acquire); }
  bool corrupt() const { return corrupt_.load(std::memory_order_acquire); }
  // In order.
  std::shared_ptr<const std::vector<Alarm>> all() const {
    return all_.load(std::memory_order_acquire);
  }

 private:
  bool any(etcdserverpb::AlarmType type) const;
  void refresh();
  void check_invariants() const;

  std::set<Alarm> alarms_;  // as many as the bucket has records; none of type NONE
  // Whether there is one of that type.
  std::atomic<bool> no_space_{false};
  std::atomic<bool> corrupt_{false};
  // What alarms_ holds; never null.
  std::atomic<std::shared_ptr<const std::vector<Alarm>>> all_{
      std::make_shared<const std::vector<Alarm>>()};
};

}  // namespace keelson::apply
