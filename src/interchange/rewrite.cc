#include "interchange/rewrite.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/text.h"
#include "boltfile/etcd_state.h"
#include "boltfile/file.h"
#include "boltfile/sink.h"
#include "boltfile/writer.h"
#include "interchange/etcd_directory.h"
#include "interchange/store_maker.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;
using Changes = std::map<std::string, std::optional<std::string>, std::less<>>;

// The changes whose keys lie before `key`, or all that are left.
absl::Status add_up_to(const std::string* key, const Changes& changes,
                       Changes::const_iterator* next, boltfile::Writer& writer) {
  for (; *next != changes.end() && (!key || (*next)->first < *key); ++*next) {
    if (!(*next)->second) continue;
    if (absl::Status s = writer.add((*next)->first, *(*next)->second); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status copy_bucket(boltfile::File& file, const std::string& name, const Changes& changes,
                         boltfile::Writer& writer) {
  if (absl::Status s = writer.begin_bucket(name); !s.ok()) return s;
  auto next = changes.begin();
  absl::Status s = boltfile::for_each_record(
      file, name, [&](std::string_view key, std::string_view value) -> absl::Status {
        if (changes.empty()) return writer.add(key, value);
        const std::string owned(key);
        if (absl::Status added = add_up_to(&owned, changes, &next, writer); !added.ok()) {
          return added;
        }
        if (changes.contains(owned)) return absl::OkStatus();  // its turn comes with the next
        return writer.add(key, value);
      });
  if (s.ok()) s = add_up_to(nullptr, changes, &next, writer);
  return s.ok() ? writer.end_bucket() : s;
}

absl::Status copy(boltfile::File& file, const Rewrite& what, const std::string& to) {
  absl::StatusOr<std::vector<std::string>> names = file.root().bucket_names();
  if (!names.ok()) return names.status();
  absl::StatusOr<std::unique_ptr<boltfile::FileSink>> sink = boltfile::FileSink::create(to);
  if (!sink.ok()) return sink.status();
  boltfile::Writer writer({.page_size = file.meta().page_size},
                          static_cast<boltfile::SeekableSink*>(sink->get()));
  const Changes none;
  for (const std::string& name : *names) {
    absl::Status s = copy_bucket(file, name, name == "meta" ? what.meta : none, writer);
    if (!s.ok()) return s;
  }
  if (absl::Status s = writer.finish(); !s.ok()) return s;
  return (*sink)->sync();
}

}  // namespace

absl::Status rewrite_database(const Rewrite& what) {
  absl::StatusOr<std::unique_ptr<FileLock>> lock = FileLock::take(what.path);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(what.path);
  if (!file.ok()) return file.status();
  if (absl::Status s = check_space(**file, what.path); !s.ok()) return s;
  const std::string made = what.path + ".tmp";
  std::error_code ignored;
  fs::remove(made, ignored);
  absl::Status s = copy(**file, what, made);
  if (s.ok() && std::rename(made.c_str(), what.path.c_str()) != 0) {
    s = absl::UnavailableError(cat("interchange: cannot rename ", made));
  }
  if (s.ok()) return sync_directory(fs::path(what.path).parent_path());
  fs::remove(made, ignored);
  return s;
}

}  // namespace keelson::interchange
