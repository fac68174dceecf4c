#include "interchange/etcd_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "interchange/change_over.h"
#include "interchange/layout.h"
#include "membership/member_json.h"
#include "wal/wal.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

std::string received_path(const std::string& data_dir, Index index) {
  return cat(snap_dir(data_dir), "/", absl::Hex(index.value, absl::kZeroPad16), ".snap.db");
}

absl::Status mismatch(std::string_view what) {
  return absl::DataLossError(cat(
      "interchange: the log and the database of this etcd directory do not belong together: ", what,
      "; put both back from the same backup, or go on with etcd"));
}

absl::StatusOr<Index> index_of(boltfile::File& file) {
  absl::StatusOr<boltfile::EtcdMeta> meta = boltfile::read_etcd_meta(file);
  if (!meta.ok()) return meta.status();
  return meta->consistent_index.value_or(Index(0));
}

// Ids of a list in raft's JSON; nothing when it is none.
bool read_ids(const nlohmann::json& json, const char* name, std::vector<MemberId>* out) {
  auto list = json.find(name);
  if (list == json.end() || list->is_null()) return true;
  if (!list->is_array()) return false;
  for (const nlohmann::json& id : *list) {
    if (!id.is_number_unsigned()) return false;
    out->push_back(MemberId(id.get<uint64_t>()));
  }
  return true;
}

std::optional<raft::ConfState> parse_conf_state(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  raft::ConfState conf;
  if (!json.is_object() || !read_ids(json, "voters", &conf.voters) ||
      !read_ids(json, "learners", &conf.learners)) {
    return std::nullopt;
  }
  return conf;
}

// Whether it names exactly these members.
bool names(const raft::ConfState& conf, const std::vector<boltfile::EtcdMember>& members) {
  std::vector<MemberId> a, b;
  a.insert(a.end(), conf.voters.begin(), conf.voters.end());
  a.insert(a.end(), conf.learners.begin(), conf.learners.end());
  for (const boltfile::EtcdMember& member : members) b.push_back(member.id);
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b && conf.voters_outgoing.empty();
}

// Members that are in the database and not in raft's configuration, if that one names others of
// them and nobody else: etcd left them over.
std::string leftover(const raft::ConfState& conf,
                     const std::vector<boltfile::EtcdMember>& members) {
  std::set<MemberId> in_raft(conf.voters.begin(), conf.voters.end());
  in_raft.insert(conf.learners.begin(), conf.learners.end());
  std::string left;
  size_t known = 0;
  for (const boltfile::EtcdMember& member : members) {
    if (in_raft.contains(member.id)) {
      ++known;
    } else {
      left += cat(left.empty() ? "" : ", ", absl::Hex(member.id.value));
    }
  }
  return known > 0 && known == in_raft.size() ? left : "";
}

// The database that etcd would start with: its own, or one that a snapshot brought.
absl::Status choose_database(const std::string& data_dir, Index newest, EtcdDirectory* out) {
  out->database_path = database_path(data_dir);
  absl::StatusOr<std::unique_ptr<boltfile::File>> own = boltfile::File::open(out->database_path);
  if (own.ok()) {
    absl::StatusOr<Index> index = index_of(**own);
    if (!index.ok()) return index.status();
    if (*index >= newest) {
      out->index = *index;
      out->database = *std::move(own);
      return absl::OkStatus();
    }
  }
  out->database_path = received_path(data_dir, newest);
  if (!there(out->database_path)) {
    if (!own.ok()) return own.status();
    return mismatch(cat("the database stands before entry ", newest.value,
                        ", at which the log has a snapshot"));
  }
  absl::StatusOr<std::unique_ptr<boltfile::File>> received =
      boltfile::File::open(out->database_path);
  if (!received.ok()) return received.status();
  absl::StatusOr<Index> index = index_of(**received);
  if (!index.ok()) return index.status();
  if (*index < newest) return mismatch(cat(out->database_path, " is of another snapshot"));
  out->index = *index;
  out->database = *std::move(received);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<raft::ConfState> configuration_of(const std::optional<std::string>& conf_state,
                                                 const std::vector<boltfile::EtcdMember>& members,
                                                 const wire::WalSnapshot& mark) {
  const std::optional<raft::ConfState> noted = parse_conf_state(conf_state);
  if (noted && names(*noted, members)) return *noted;
  if (mark.conf_state && names(*mark.conf_state, members)) return *mark.conf_state;
  if (std::string left = noted ? leftover(*noted, members) : ""; !left.empty()) {
    return absl::FailedPreconditionError(
        cat("interchange: the database has members that take no part in raft: ", left,
            "; they would count for a majority here. Start etcd on the directory once more (late "
            "releases of 3.5 remove what earlier ones left over) and stop it in order"));
  }
  raft::ConfState conf;
  for (const boltfile::EtcdMember& record : members) {
    absl::StatusOr<membership::Member> member = membership::parse_member(record.json);
    if (!member.ok()) return member.status();
    (member->is_learner ? conf.learners : conf.voters).push_back(record.id);
  }
  if (!conf.voters.empty()) return conf;
  return mismatch("the database has no members");
}

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::take(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return absl::UnavailableError(cat("interchange: cannot open ", path, ": ", strerror(errno)));
  }
  auto lock = std::unique_ptr<FileLock>(new FileLock(fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  return absl::FailedPreconditionError(
      cat("interchange: ", path, " is in use by another process; stop etcd first"));
}

FileLock::~FileLock() { ::close(fd_); }

bool is_etcd_directory(const std::string& data_dir) {
  if (there(database_path(data_dir))) return true;
  std::error_code error;
  fs::directory_iterator at(snap_dir(data_dir), error), end;
  for (; !error && at != end; at.increment(error)) {
    // Snapshot files alone say nothing: a member of ours has them, too.
    if (at->path().filename().string().ends_with(".snap.db")) return true;
  }
  return false;
}

absl::StatusOr<EtcdDirectory> open_etcd_directory(const std::string& data_dir,
                                                  const std::string& wal_dir) {
  EtcdDirectory out;
  out.wal_dir = wal_dir;
  if (!there(database_path(data_dir))) {
    return absl::NotFoundError(
        cat("stat ", database_path(data_dir), ": no such file or directory"));
  }
  absl::StatusOr<std::unique_ptr<FileLock>> lock = FileLock::take(database_path(data_dir));
  if (!lock.ok()) return lock.status();
  out.lock = *std::move(lock);
  absl::StatusOr<wire::WalSnapshot> newest = wal::newest_mark(wal_dir, Index(UINT64_MAX));
  if (!newest.ok()) return newest.status();
  if (absl::Status s = choose_database(data_dir, newest->index, &out); !s.ok()) return s;
  if (out.index == Index(0)) {
    return absl::FailedPreconditionError(cat(
        "interchange: ", out.database_path,
        " has nothing of the log yet: this etcd was killed "
        "in its first moments. Start etcd on the directory once more, and stop it with SIGTERM"));
  }
  absl::StatusOr<boltfile::EtcdState> state = boltfile::read_etcd_state(*out.database);
  if (!state.ok()) return state.status();
  out.state = *std::move(state);
  if (absl::Status s = check_version(out.state); !s.ok()) return s;
  out.mark = *std::move(newest);
  absl::StatusOr<raft::ConfState> conf =
      configuration_of(out.state.meta.conf_state, out.state.members, out.mark);
  if (!conf.ok()) return conf.status();
  out.conf_state = *std::move(conf);
  return out;
}

}  // namespace keelson::interchange
