#include "server/data_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "interchange/convert.h"
#include "interchange/layout.h"
#include "interchange/leave.h"
#include "membership/cluster.h"
#include "server/founding.h"
#include "server/state_home.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::strerror(error); }

// The names in `path`; none if there is no such directory.
absl::StatusOr<std::vector<std::string>> names_in(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator at(path, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    names.push_back(at->path().filename());
  }
  if (!error) return names;
  return absl::FailedPreconditionError(cat("cannot list ", path, ": ", error.message()));
}

bool has(const std::vector<std::string>& names, std::string_view ending) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.ends_with(ending); });
}

// The nearest directory that is there has to take files.
absl::Status check_writable(const std::string& data_dir) {
  fs::path path = fs::path(data_dir).lexically_normal();
  struct stat found = {};
  while (::stat(path.empty() ? "." : path.c_str(), &found) != 0) {
    if (errno != ENOENT) {
      return absl::FailedPreconditionError(cat("cannot use ", data_dir, ": ", reason(errno)));
    }
    if (!path.has_parent_path() || path == path.parent_path()) {
      path.clear();
    } else {
      path = path.parent_path();
    }
  }
  const std::string where = path.empty() ? "." : path.string();
  if (!S_ISDIR(found.st_mode)) {
    return absl::FailedPreconditionError(
        cat("cannot use ", data_dir, ": ", where, " is not a directory"));
  }
  if (::faccessat(AT_FDCWD, where.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(cat("cannot write to data directory ", data_dir, ": ", where,
                                           ": ", reason(errno),
                                           "; it has to belong to this user and be writable"));
}

std::vector<std::string> whole_stores(const std::string& member_dir) {
  std::vector<std::string> dirs;
  for (const std::string& name : store_names(member_dir)) {
    if (is_store(cat(member_dir, "/", name))) dirs.push_back(cat(member_dir, "/", name));
  }
  return dirs;
}

// What etcd, or a restore of one of its snapshots, leaves. A member of ours has snapshot files,
// too, and those of snapshots that were on their way.
absl::Status check_foreign(const std::string& data_dir) {
  if (!whole_stores(data_dir + "/member").empty()) {
    std::error_code error;
    const std::string database = data_dir + "/member/snap/db";
    if (!fs::exists(database, error)) return absl::OkStatus();
    return absl::FailedPreconditionError(
        cat(database,
            " was written by etcd, but there is a store of Keelson's beside it; which of them "
            "counts only you can say: move the other away. Nothing was changed"));
  }
  absl::StatusOr<std::vector<std::string>> names = names_in(data_dir + "/member/snap");
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (name != "db" && !name.ends_with(".snap") && !name.ends_with(".snap.db")) continue;
    return absl::DataLossError(
        cat(data_dir, "/member/snap/", name, " is of a member whose state is not there: neither ",
            data_dir, "/member/keelson nor etcd's ", data_dir,
            "/member/snap/db; put the whole directory back from a backup, or name an empty one"));
  }
  return absl::OkStatus();
}

// A log says that there was a member, and a member has a store.
absl::Status check_parts(const Config& config, bool log) {
  const std::string member_dir = config.effective_data_dir() + "/member";
  const std::vector<std::string> stores = whole_stores(member_dir);
  const std::string store = stores.empty() ? member_dir + "/keelson" : stores.front();
  const std::string log_dir = fs::path(config.effective_wal_dir()).lexically_normal() / "";
  if (log_dir.starts_with((fs::path(store).lexically_normal() / "").string())) {
    return absl::FailedPreconditionError(
        cat("the log cannot be inside the store: name another --wal-dir than ",
            config.effective_wal_dir()));
  }
  absl::StatusOr<std::vector<std::string>> files = names_in(store);
  if (!files.ok()) return files.status();
  const bool whole = !stores.empty();
  if (log && !whole) {
    return absl::DataLossError(
        cat("there is a log in ", config.effective_wal_dir(), " but no store in ", store,
            ", nor etcd's in ", interchange::database_path(config.effective_data_dir()),
            "; put both back from the same backup, or remove the member and add it anew"));
  }
  if (!log && !whole && has(*files, ".sst")) {
    return absl::DataLossError(
        cat("there are tables of a store in ", store, " but neither its CURRENT nor a log in ",
            config.effective_wal_dir(), "; restore the whole directory, or name an empty one"));
  }
  if (!log && std::find(files->begin(), files->end(), "KEELSON.durable") != files->end()) {
    return absl::DataLossError(
        cat("the log and the store do not belong together: there is a store but no log in ",
            config.effective_wal_dir(),
            "; put both back from the same backup, or remove the member and add it anew"));
  }
  return absl::OkStatus();
}

absl::Status make_private(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(cat("cannot create ", path, ": ", error.message()));
}

// As Go writes it: drwxr-xr-x.
std::string mode_text(mode_t mode) {
  std::string text = "drwxrwxrwx";
  for (int bit = 0; bit < 9; ++bit) {
    if ((mode >> (8 - bit) & 1) == 0) text[1 + static_cast<size_t>(bit)] = '-';
  }
  return text;
}

}  // namespace

absl::Status take_over(const Config& config) {
  const std::string data_dir = config.effective_data_dir(), wal_dir = config.effective_wal_dir();
  if (absl::Status s = interchange::end_leaving(data_dir, wal_dir); !s.ok()) return s;
  if (interchange::conversion_is_unfinished(data_dir)) {
    log::info("going on with the conversion of etcd's data directory", {{"data-dir", data_dir}});
    return interchange::finish_conversion(data_dir, wal_dir);
  }
  // One that a snapshot of another member made has a name of its own.
  const bool ours = !store_names(data_dir + "/member").empty();
  if (ours || !interchange::is_etcd_directory(data_dir)) return absl::OkStatus();
  uint64_t told = 0;
  return interchange::convert_in_place(
      data_dir, wal_dir, [&](const interchange::ReadProgress& progress, uint64_t of) {
        constexpr uint64_t kTellEvery = uint64_t{256} << 20;
        // It begins again when what was written is compared.
        if (progress.bytes < told) told = 0;
        if (progress.bytes - told < kTellEvery) return true;
        told = progress.bytes;
        log::info("converting etcd's data directory",
                  {{"bytes-done", progress.bytes}, {"bytes", of}, {"records", progress.records}});
        return true;
      });
}

absl::StatusOr<DataDir> check_data_dir(const Config& config) {
  const std::string data_dir = config.effective_data_dir();
  if (absl::Status s = check_writable(data_dir); !s.ok()) return s;
  absl::StatusOr<std::vector<std::string>> names = names_in(data_dir);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (name == "member") continue;
    log::warn("found invalid file under data directory",
              {{"filename", name}, {"data-dir", data_dir}});
  }
  absl::StatusOr<std::vector<std::string>> segments = names_in(config.effective_wal_dir());
  if (!segments.ok()) return segments.status();
  const bool log = has(*segments, ".wal");
  if (absl::Status s = check_parts(config, log); !s.ok()) return s;
  if (absl::Status s = check_foreign(data_dir); !s.ok()) return s;
  return DataDir{.has_log = log};
}

absl::Status check_founder(const Config& config) {
  const bool joins = config.initial_cluster_state != "new";
  absl::Status s = check_founding({.name = config.name,
                                   .initial_cluster = config.initial_cluster,
                                   .advertise_peer_urls = config.initial_advertise_peer_urls,
                                   .joins = joins});
  if (!s.ok()) return s;
  if (joins && !config.discovery.endpoints.empty()) {
    return absl::InvalidArgumentError(
        "discovery URL should not be set when joining existing initial cluster");
  }
  return absl::OkStatus();
}

absl::Status make_data_dir(const Config& config) {
  const std::string data_dir = config.effective_data_dir();
  struct stat found = {};
  if (::stat(data_dir.c_str(), &found) == 0 && (found.st_mode & 0777) != 0700) {
    log::warn("check file permission",
              {{"error", cat("directory \"", data_dir, "\" exist, but the permission is \"",
                             mode_text(found.st_mode),
                             "\". The recommended permission is \"-rwx------\" to prevent possible "
                             "unprivileged access to the data")}});
  }
  const std::string member_dir = data_dir + "/member";
  if (absl::Status s = make_private(member_dir); !s.ok()) return s;
  // One that an earlier version made for everybody's eyes.
  if (::chmod(member_dir.c_str(), 0700) == 0) return absl::OkStatus();
  return absl::UnavailableError(cat("cannot set the mode of ", member_dir,
                                    " to 0700: ", reason(errno),
                                    "; the data directory has to belong to this user and be "
                                    "writable"));
}

uint64_t reserve_for(const Config& config) {
  constexpr uint64_t kMost = uint64_t{64} << 20;
  constexpr uint64_t kShare = 16;
  std::error_code error;
  const fs::space_info disk = fs::space(config.effective_data_dir(), error);
  return error ? 0 : std::min<uint64_t>(kMost, disk.capacity / kShare);
}

uint64_t write_buffers_for(const Config& config) {
  const uint64_t reserve = reserve_for(config);
  return reserve == 0 ? config.keelson_write_buffer_bytes
                      : std::min(config.keelson_write_buffer_bytes, reserve);
}

}  // namespace keelson::server
