// defrag, migrate, verify: what works on a whole data directory, ours or etcd's.

#include <algorithm>
#include <future>
#include <memory>
#include <ostream>

#include "backend/rocks/rocks_backend.h"
#include "base/log.h"
#include "base/progress_line.h"
#include "base/size_text.h"
#include "base/text.h"
#include "boltfile/etcd_state.h"
#include "boltfile/hash_kv.h"
#include "boltfile/verify.h"
#include "ctl/outcome.h"
#include "interchange/etcd_directory.h"
#include "interchange/etcd_version.h"
#include "interchange/layout.h"
#include "interchange/rewrite.h"
#include "mvcc/row_head.h"
#include "mvcc/store.h"
#include "utl/commands.h"
#include "wal/wal.h"

namespace keelson::utl {
namespace {

using ctl::ExitCode;
using ctl::FlagType;
using ctl::Invocation;

bool is_ours(const std::string& data_dir) {
  return !absl::IsNotFound(interchange::only_store(data_dir).status());
}

absl::StatusOr<std::unique_ptr<backend::Backend>> open_store(const std::string& data_dir) {
  absl::StatusOr<std::string> place = interchange::only_store(data_dir);
  if (!place.ok()) return place.status();
  return backend::open_rocks_backend(
      *place, {.heads = mvcc::kHeadFormat, .flush_on_close = false, .create_if_missing = false});
}

absl::Status defrag_ours(const std::string& data_dir) {
  absl::StatusOr<std::unique_ptr<backend::Backend>> store = open_store(data_dir);
  if (!store.ok()) return store.status();
  const uint64_t before = (*store)->size_on_disk();
  auto done = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> status = done->get_future();
  (*store)->reclaim([done](absl::Status s) { done->set_value(std::move(s)); });
  if (absl::Status s = status.get(); !s.ok()) return s;
  log::info("finished defragmenting directory; a store of Keelson's gives space back by itself",
            {{"path", data_dir},
             {"size-before", size_text(before)},
             {"size", size_text((*store)->size_on_disk())}});
  return absl::OkStatus();
}

absl::Status run_defrag(Invocation& in) {
  const std::string& data_dir = in.flags.text("data-dir");
  absl::Status s;
  if (is_ours(data_dir)) {
    s = defrag_ours(data_dir);
  } else if (s = check_file(interchange::database_path(data_dir)); s.ok()) {
    s = interchange::rewrite_database({.path = interchange::database_path(data_dir)});
  }
  if (s.ok()) return s;
  return ctl::failure(ExitCode::kError,
                      cat("Failed to defragment etcd data[", data_dir, "] (", message_of(s), ")"));
}

// "3.6" as a minor version, in etcdutl's words when it is none.
absl::StatusOr<int> target_of(const std::string& text) {
  if (std::count(text.begin(), text.end(), '.') != 1) {
    return absl::InvalidArgumentError(
        cat("wrong target version format, expected \"X.Y\", got \"", text, "\""));
  }
  const std::optional<int> minor = interchange::minor_of(text);
  if (!minor) return absl::InvalidArgumentError(cat("failed to parse target version: ", text));
  if (*minor < interchange::kOldestMinor) {
    return absl::InvalidArgumentError(
        cat("target version \"", text, "\" not supported. Minimal \"3.5\""));
  }
  return *minor;
}

// The version of a database's schema, as etcd tells it.
absl::StatusOr<int> schema_of(const std::string& path) {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<boltfile::EtcdMeta> meta = boltfile::read_etcd_meta(**file);
  if (!meta.ok()) return meta.status();
  if (meta->storage_version) {
    if (std::optional<int> minor = interchange::minor_of(*meta->storage_version)) return *minor;
  }
  if (meta->term.value_or(Term(0)) == Term(0)) {
    return absl::FailedPreconditionError("missing term information");
  }
  return 5;
}

absl::Status migrate(const std::string& data_dir, int target, bool force) {
  if (is_ours(data_dir)) {
    log::info(
        "storage version up-to-date: a store of Keelson's has none; export --etcd-version "
        "writes for the version that is to read it");
    return absl::OkStatus();
  }
  const std::string path = interchange::database_path(data_dir);
  if (absl::Status s = check_file(path); !s.ok()) return s;
  absl::StatusOr<int> current = schema_of(path);
  if (!current.ok()) {
    log::error(
        "failed to detect storage version. Please make sure you are using data dir from "
        "etcd v3.5 and older");
    return current.status();
  }
  if (*current == target) {
    log::info("storage version up-to-date", {{"storage-version", cat("3.", target)}});
    return absl::OkStatus();
  }
  if (!force && target > interchange::kNewestMinor) {
    return absl::InvalidArgumentError(cat("cannot create migration plan: version \"3.",
                                          interchange::kNewestMinor + 1, ".0\" is not supported"));
  }
  interchange::Rewrite what{.path = path};
  what.meta["storageVersion"] =
      target >= 6 ? std::optional(interchange::version_of(target)) : std::nullopt;
  if (absl::Status s = interchange::rewrite_database(what); !s.ok()) return s;
  log::info("updated storage version", {{"new-storage-version", interchange::version_of(target)}});
  return absl::OkStatus();
}

absl::Status run_migrate(Invocation& in) {
  absl::StatusOr<int> target = target_of(in.flags.text("target-version"));
  if (!target.ok()) return ctl::failure(ExitCode::kBadArgs, message_of(target.status()));
  return failed(migrate(in.flags.text("data-dir"), *target, in.flags.boolean("force")));
}

// What verify found, line by line.
struct Findings {
  uint64_t records = 0, bytes = 0;
  Index index;
  Index mark;
  uint64_t entries = 0;  // behind the mark
  Index commit;
  mvcc::KvHash hash;
};

absl::Status verify_log(const std::string& wal_dir, Findings* found) {
  absl::StatusOr<wire::WalSnapshot> mark = wal::newest_mark(wal_dir, found->index);
  if (!mark.ok()) return mark.status();
  found->mark = mark->index;
  Index last = mark->index;
  absl::StatusOr<wal::Contents> log =
      wal::read(wal_dir, {mark->index, mark->term}, [&](const raft::Entry& entry) {
        last = entry.index;
        return absl::OkStatus();
      });
  if (!log.ok()) return log.status();
  found->entries = log->entries;
  found->commit = log->state.commit;
  if (last >= found->index) return absl::OkStatus();
  return absl::DataLossError(cat("the store holds the effects of entry ", found->index.value,
                                 ", the log ends at ", last.value));
}

absl::Status verify_ours(const std::string& data_dir, const std::string& wal_dir, Findings* found) {
  absl::StatusOr<std::unique_ptr<backend::Backend>> store = open_store(data_dir);
  if (!store.ok()) return store.status();
  ProgressLine line("verifying");
  for (const backend::Bucket bucket : backend::buckets_by_name()) {
    auto it = (*store)->iterate(bucket);
    for (it->seek_to_first(); it->valid(); it->next()) {
      ++found->records;
      found->bytes += it->key().size() + it->value().size();
      line.at(found->bytes, 0);
    }
    if (!it->status().ok()) return it->status();
  }
  found->index = (*store)->consistent_index();
  if (absl::Status s = verify_log(wal_dir, found); !s.ok()) return s;
  absl::StatusOr<std::unique_ptr<mvcc::Store>> keys = mvcc::Store::open(store->get());
  if (!keys.ok()) return keys.status();
  absl::StatusOr<std::unique_ptr<mvcc::HashKvJob>> job = (*keys)->hash_kv(0);
  if (!job.ok()) return job.status();
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = (*job)->step(SIZE_MAX);
    if (!step.ok()) return step.status();
    done = *step;
  }
  found->hash = (*job)->result();
  return absl::OkStatus();
}

absl::Status verify_etcds(const std::string& data_dir, const std::string& wal_dir,
                          Findings* found) {
  absl::StatusOr<interchange::EtcdDirectory> dir =
      interchange::open_etcd_directory(data_dir, wal_dir);
  if (!dir.ok()) return dir.status();
  absl::StatusOr<boltfile::Verdict> verdict = boltfile::verify(*dir->database);
  if (!verdict.ok()) return verdict.status();
  if (!verdict->ok()) return verdict->status();
  found->records = verdict->elements;
  found->bytes = dir->database->size();
  found->index = dir->index;
  if (absl::Status s = verify_log(wal_dir, found); !s.ok()) return s;
  absl::StatusOr<boltfile::KvHash> hash = boltfile::hash_kv(*dir->database);
  if (!hash.ok()) return hash.status();
  found->hash = {hash->hash, hash->compact_revision, hash->hash_revision, hash->current_revision};
  return absl::OkStatus();
}

absl::Status run_verify(Invocation& in) {
  const std::string& data_dir = in.flags.text("data-dir");
  const std::string& given = in.flags.text("wal-dir");
  const std::string wal_dir = given.empty() ? interchange::wal_dir(data_dir) : given;
  Findings found;
  absl::Status s = is_ours(data_dir) ? verify_ours(data_dir, wal_dir, &found)
                                     : verify_etcds(data_dir, wal_dir, &found);
  if (!s.ok()) return failed(s);
  std::ostream& out = in.console.out;
  if (in.flags.text("write-out") == "json") {
    out << cat(R"({"records":)", found.records, R"(,"bytes":)", found.bytes,
               R"(,"consistentIndex":)", found.index.value, R"(,"mark":)", found.mark.value,
               R"(,"entries":)", found.entries, R"(,"commit":)", found.commit.value, R"(,"hash":)",
               found.hash.hash, R"(,"hashRevision":)", found.hash.hash_revision,
               R"(,"compactRevision":)", found.hash.compact_revision, "}\n");
    return absl::OkStatus();
  }
  out << "store: " << found.records << " records, " << size_text(found.bytes) << ", up to entry "
      << found.index.value << "\nlog: mark " << found.mark.value << ", " << found.entries
      << " entries behind it, committed up to " << found.commit.value
      << "\nHashKV: " << found.hash.hash << " at revision " << found.hash.hash_revision
      << ", compacted at " << found.hash.compact_revision << "\nall checks passed\n";
  return absl::OkStatus();
}

}  // namespace

std::vector<ctl::Command> store_commands() {
  return {{.use = "defrag",
           .brief = "Defragments the storage of Keelson or etcd",
           .details = "",
           .group = "",
           .flags = {{.name = "data-dir",
                      .usage = "Required. Defragments a data directory not in use.",
                      .required = true}},
           .run = run_defrag},
          {.use = "migrate",
           .brief = "Migrates schema of etcd data dir files to make them compatible with different "
                    "etcd version",
           .details = "",
           .group = "",
           .flags = {{.name = "data-dir", .usage = "Path to the etcd data dir", .required = true},
                     {.name = "target-version",
                      .usage = "Target etcd version to migrate contents of data dir. Minimal value "
                               "3.5. Format \"X.Y\" for example 3.6.",
                      .required = true},
                     {.name = "force",
                      .type = FlagType::kBool,
                      .default_value = "false",
                      .usage = "Ignore migration failure and forcefully override storage version. "
                               "Not recommended."}},
           .run = run_migrate},
          {.use = "verify",
           .brief = "Reads a whole data directory, Keelson's or etcd's, and checks all of it",
           .details = "",
           .group = "",
           .flags = {{.name = "data-dir",
                      .usage = "Required. A data directory not in use.",
                      .required = true},
                     {.name = "wal-dir", .usage = "Path to the WAL directory, if elsewhere"}},
           .run = run_verify}};
}

}  // namespace keelson::utl
