#include "interchange/convert.h"

#include <filesystem>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "interchange/change_over.h"
#include "interchange/layout.h"
#include "interchange/log_copy.h"
#include "interchange/store_maker.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

constexpr char kEnding[] = ".keelson";

// Where the original is kept: the first of PATH.etcd, PATH.etcd-2, … that is free.
std::string kept_name(const std::string& path) {
  std::string name = path + ".etcd";
  for (int n = 2; there(name); ++n) name = cat(path, ".etcd-", n);
  return name;
}

}  // namespace

absl::Status convert(const Conversion& conversion) {
  absl::StatusOr<EtcdDirectory> from = open_etcd_directory(conversion.data_dir, conversion.wal_dir);
  if (!from.ok()) return from.status();
  const LogCopy copy{.from = conversion.wal_dir,
                     .mark = from->mark,
                     .to = conversion.new_wal_dir,
                     .index = from->index,
                     .conf_state = from->conf_state};
  absl::StatusOr<CheckedLog> checked = check_log(copy);
  if (!checked.ok()) return checked.status();
  absl::Status s = check_space(*from->database, conversion.member_dir, kLogSpace + checked->bytes);
  if (!s.ok()) return s;
  fit_history(copy, space_for(*from->database), conversion.member_dir, &*checked);
  log::info("converting etcd's data directory",
            {{"database", from->database_path},
             {"bytes", from->database->size()},
             {"wal-dir", conversion.wal_dir},
             {"consistent-index", from->index.value},
             {"storage-version", from->state.meta.storage_version.value_or("")},
             {"cluster-version", from->state.cluster_version.value_or("")}});
  for (const std::string& name : {conversion.member_dir, parent_of(conversion.new_wal_dir)}) {
    std::error_code error;
    fs::create_directories(name, error);
    if (error) {
      return absl::UnavailableError(cat("interchange: cannot make ", name, ": ", error.message()));
    }
  }
  absl::StatusOr<CopiedLog> log = copy_log(copy, *std::move(checked));
  if (!log.ok()) return log.status();
  KEELSON_FAILPOINT("interchange_convert_log");
  ReadOptions reading{.position = Position{from->index, log->term}, .conf_state = from->conf_state};
  if (conversion.progress) {
    reading.progress = [&](const ReadProgress& progress) {
      return conversion.progress(progress, from->database->size());
    };
  }
  StoreMaker maker(conversion.member_dir);
  absl::StatusOr<ReadResult> result = maker.read(*from->database, reading);
  if (!result.ok()) return result.status();
  for (const std::string& name : result->left_out) {
    log::warn("left out a bucket that etcd does not have", {{"bucket", name}});
  }
  if (s = maker.install(); !s.ok()) return s;
  log::info("converted etcd's data directory",
            {{"records", result->total.records},
             {"leases", result->leases},
             {"entries", log->entries},
             {"entries-of-before", log->entries_of_before},
             {"member-id", cat(absl::Hex(log->metadata.node_id.value))},
             {"cluster-id", cat(absl::Hex(log->metadata.cluster_id.value))}});
  return absl::OkStatus();
}

absl::Status convert_in_place(const std::string& data_dir, const std::string& wal_dir,
                              const ConvertProgress& progress) {
  const Places places(data_dir, wal_dir, kEnding);
  if (absl::Status s = check_places(places); !s.ok()) return s;
  // What an attempt before this one has made is of a state that may have gone on since.
  if (absl::Status s = remove_all(places.made); !s.ok()) return s;
  if (absl::Status s = remove_all(places.made_log); !s.ok()) return s;
  if (absl::Status s = remove_all(places.made_log + ".tmp"); !s.ok()) return s;
  absl::Status s = convert({.data_dir = data_dir,
                            .wal_dir = wal_dir,
                            .member_dir = places.made,
                            .new_wal_dir = places.made_log,
                            .progress = progress});
  if (!s.ok()) {
    remove_all(places.made).IgnoreError();
    remove_all(places.made_log).IgnoreError();
    return s;
  }
  if (s = sync_directory(parent_of(places.made)); !s.ok()) return s;
  if (s = sync_directory(parent_of(places.made_log)); !s.ok()) return s;
  KEELSON_FAILPOINT("interchange_convert_whole");
  const std::string kept = kept_name(places.member);
  KEELSON_FAILPOINT("interchange_move_member");
  if (s = move(places.member, kept); !s.ok()) return s;
  log::info("kept etcd's data directory", {{"path", kept}});
  return finish_conversion(data_dir, wal_dir);
}

bool conversion_is_unfinished(const std::string& data_dir) {
  const std::string member = member_dir(data_dir);
  return !there(member) && there(member + kEnding + "/keelson");
}

absl::Status finish_conversion(const std::string& data_dir, const std::string& wal_dir) {
  CHECK(conversion_is_unfinished(data_dir));
  const Places places(data_dir, wal_dir, kEnding);
  if (!places.log_is_inside && there(places.made_log)) {
    if (there(places.log)) {
      const std::string kept = kept_name(places.log);
      KEELSON_FAILPOINT("interchange_move_log");
      if (absl::Status s = move(places.log, kept); !s.ok()) return s;
      log::info("kept etcd's log", {{"path", kept}});
    }
    KEELSON_FAILPOINT("interchange_place_log");
    if (absl::Status s = move(places.made_log, places.log); !s.ok()) return s;
  }
  KEELSON_FAILPOINT("interchange_place_member");
  if (absl::Status s = move(places.made, places.member); !s.ok()) return s;
  KEELSON_FAILPOINT("interchange_convert_done");
  return absl::OkStatus();
}

}  // namespace keelson::interchange
