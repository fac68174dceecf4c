#include "interchange/leave.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "interchange/change_over.h"
#include "interchange/export.h"
#include "interchange/layout.h"
#include "interchange/store_maker.h"

namespace keelson::interchange {
namespace {

constexpr char kEnding[] = ".leaving";
constexpr char kKept[] = ".keelson-kept";

absl::Status remove_made(const Places& places) {
  absl::Status s = remove_all(places.made);
  if (s.ok() && !places.log_is_inside) s = remove_all(places.made_log);
  // While it was begun.
  if (s.ok() && !places.log_is_inside) s = remove_all(places.made_log + ".tmp");
  return s;
}

absl::Status make(const Leaving& what, const Places& places) {
  absl::Status s = check_exchange(places.member);
  if (s.ok() && !places.log_is_inside) s = check_exchange(places.log);
  if (s.ok()) s = remove_made(places);
  if (!s.ok()) return s;
  const Export exporting{.data_dir = what.data_dir,
                         .wal_dir = what.wal_dir,
                         .minor = what.minor,
                         .progress = what.progress,
                         .compare = true};
  s = export_member(exporting, places.made, places.made_log);
  if (s.ok()) s = sync_directory(parent_of(places.made));
  if (s.ok()) s = sync_directory(parent_of(places.made_log));
  return s;
}

// Both change names, or neither: `s` tells. What is on the disk after an error may be either log.
absl::Status change_names(const Places& places) {
  const bool both = !places.log_is_inside;
  absl::Status s;
  if (both) {
    KEELSON_FAILPOINT("interchange_leave_log");
    if (s = exchange(places.log, places.made_log); !s.ok()) return s;
    s = sync_directory(parent_of(places.log));
  }
  if (s.ok()) {
    KEELSON_FAILPOINT("interchange_leave_member");
    s = exchange(places.member, places.made);
  }
  if (!s.ok() && both) exchange(places.log, places.made_log).IgnoreError();
  return s;
}

// Ours, which lies under etcd's former name.
absl::Status keep(const Places& places) {
  KEELSON_FAILPOINT("interchange_leave_keep");
  const std::string kept = places.member + kKept, kept_log = places.log + kKept;
  absl::Status s = remove_all(kept);
  if (s.ok() && !places.log_is_inside && there(places.made_log)) {
    s = remove_all(kept_log);
    if (s.ok()) s = move(places.made_log, kept_log);
  }
  if (s.ok()) s = move(places.made, kept);
  if (s.ok()) log::info("kept Keelson's data directory", {{"path", kept}});
  return s;
}

}  // namespace

absl::Status leave_in_place(const Leaving& what) {
  const Places places(what.data_dir, what.wal_dir, kEnding);
  if (absl::Status s = check_places(places); !s.ok()) return s;
  if (absl::Status s = make(what, places); !s.ok()) {
    remove_made(places).IgnoreError();
    return s;
  }
  KEELSON_FAILPOINT("interchange_leave_whole");
  // After an error the next start removes what was made: here a log of ours may lie under its name.
  if (absl::Status s = change_names(places); !s.ok()) return s;
  absl::Status s = sync_directory(parent_of(places.member));
  if (!s.ok()) return s;
  log::info("left etcd's data directory in the place of Keelson's",
            {{"data-dir", what.data_dir}, {"etcd-version", cat("3.", what.minor)}});
  // Nothing depends on it.
  if (s = keep(places); !s.ok()) {
    log::warn("cannot keep Keelson's data directory under its name", {{"error", message_of(s)}});
  }
  KEELSON_FAILPOINT("interchange_leave_done");
  return absl::OkStatus();
}

absl::Status end_leaving(const std::string& data_dir, const std::string& wal_dir) {
  const Places places(data_dir, wal_dir, kEnding);
  if (there(places.made)) {
    // Whose it is tells on which side of the change the crash came.
    const bool is_ours = !absl::IsNotFound(only_store_in(places.made).status());
    return is_ours ? keep(places) : remove_made(places);
  }
  return places.log_is_inside ? absl::OkStatus() : remove_all(places.made_log);
}

}  // namespace keelson::interchange
