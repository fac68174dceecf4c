#include "server/leaving.h"

#include "base/log.h"
#include "base/text.h"
#include "interchange/etcd_version.h"
#include "interchange/leave.h"

namespace keelson::server {

std::optional<int> target_of_downgrade(const membership::View& view) {
  if (!view.downgrade.enabled) return std::nullopt;
  const std::optional<int> target = interchange::minor_of(view.downgrade.target);
  if (!target || *target < interchange::kOldestMinor || *target >= interchange::kNewestMinor) {
    return std::nullopt;
  }
  return interchange::minor_of(view.cluster_version) == target ? target : std::nullopt;
}

void leave(const Config& config, int minor, const std::function<bool()>& goes_on) {
  constexpr uint64_t kTellEvery = uint64_t{256} << 20;
  const std::string version = cat("3.", minor);
  log::info("the cluster is being downgraded: writing etcd's data directory",
            {{"data-dir", config.effective_data_dir()}, {"etcd-version", version}});
  uint64_t told = 0;
  const auto progress = [&](uint64_t done, uint64_t of) {
    // It begins again when what was written is compared.
    if (done < told) told = 0;
    if (done - told >= kTellEvery) {
      told = done;
      log::info("writing etcd's data directory", {{"bytes-done", done}, {"bytes", of}});
    }
    return goes_on();
  };
  const absl::Status left = interchange::leave_in_place({.data_dir = config.effective_data_dir(),
                                                         .wal_dir = config.effective_wal_dir(),
                                                         .minor = minor,
                                                         .progress = progress});
  if (left.ok()) return;
  log::error(
      "cannot leave etcd's data directory; it is Keelson's as before. Before etcd is started, "
      "make one with keelutl export",
      {{"error", message_of(left)},
       {"command", cat("keelutl export --data-dir ", config.effective_data_dir(), " --wal-dir ",
                       config.effective_wal_dir(), " --output-dir NEW --etcd-version ", version)}});
}

}  // namespace keelson::server
