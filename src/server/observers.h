// server/observers.h
//
// Observers carry what the services and the state machine report into the metrics.
//
// Threads: as the interfaces say; the instruments take updates from any.
// Lifetime: the metrics outlive it, and it outlives the node.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "apply/observer.h"
#include "base/clock.h"
#include "http/metrics.h"
#include "rpc/context.h"
#include "wal/snap_files.h"
#include "wal/wal.h"

namespace keelson::server {

class RequestMetrics final : public rpc::RequestObserver {
 public:
  explicit RequestMetrics(http::Metrics& metrics) : metrics_(metrics) {}
  void client_request(bool stream, std::string_view version) override;
  void request_done(wire::InternalKind kind, bool read_only, bool ok, Duration took) override;
  void range_read(bool ok, Duration took) override;
  void slow_read() override;
  void hashed(bool all, Duration took) override;
  void snapshot_sent(Duration took) override;
  void defragmenting() override;
  // etcd times those that went well.
  void defragmented(bool ok, Duration took) override;
  void promoted(const absl::Status& status) override;

 private:
  http::Metrics& metrics_;
};

class ApplyMetrics final : public apply::Observer {
 public:
  explicit ApplyMetrics(http::Metrics& metrics) : metrics_(metrics) {}
  // Each entry of the batch is shown with an equal share of its time.
  void applied(std::span<const apply::Applied> entries) override;
  void slow_apply() override;
  void lease_granted(int64_t ttl_seconds) override;
  void compaction_step(Duration took) override;
  void compaction_finished(Duration took) override;

 private:
  http::Metrics& metrics_;
};

class WalTimes final : public wal::Observer {
 public:
  explicit WalTimes(http::Metrics& metrics) : metrics_(metrics) {}
  void synced(Duration took) override { metrics_.wal_fsync.observe(took); }
  void wrote(uint64_t bytes, Duration took) override;

 private:
  http::Metrics& metrics_;
};

// For the snapshot files in `dir`; the newest `keep` of them.
std::unique_ptr<wal::SnapFiles> snap_files(const std::string& dir, uint64_t keep,
                                           const Clock& clock, http::Metrics& metrics);

}  // namespace keelson::server
