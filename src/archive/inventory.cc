#include "archive/inventory.h"

#include "base/text.h"

namespace keelson::archive {
namespace {

// 0 for what is no file, or none any more.
uint64_t size_of(wal::FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::unique_ptr<wal::File>> file = fs.open(path, wal::OpenMode::kRead);
  if (!file.ok()) return 0;
  return (*file)->size().value_or(0);
}

absl::StatusOr<uint64_t> bytes_in(wal::FileSystem& fs, const std::string& dir) {
  absl::StatusOr<std::vector<std::string>> names = fs.list(dir);
  if (absl::IsNotFound(names.status())) return uint64_t{0};
  if (!names.ok()) return names.status();
  uint64_t sum = 0;
  for (const std::string& name : *names) sum += size_of(fs, cat(dir, "/", name));
  return sum;
}

absl::StatusOr<StoredStretch> look_into(wal::FileSystem& fs, const std::string& archive,
                                        uint64_t number) {
  StoredStretch found{.number = number};
  const std::string path = stretch_path(archive, number);
  absl::StatusOr<StretchFiles> files = list_stretch(fs, path);
  if (!files.ok()) return files.status();
  for (const SnapshotName& name : files->snapshots) {
    found.snapshots.push_back({number, name, size_of(fs, cat(path, "/", to_string(name)))});
  }
  for (const std::string& dir : {path, log_path(path)}) {
    absl::StatusOr<uint64_t> bytes = bytes_in(fs, dir);
    if (!bytes.ok()) return bytes.status();
    found.bytes += *bytes;
  }
  return found;
}

}  // namespace

std::vector<StoredSnapshot> Inventory::snapshots() const {
  std::vector<StoredSnapshot> all;
  for (const StoredStretch& stretch : stretches) {
    all.insert(all.end(), stretch.snapshots.begin(), stretch.snapshots.end());
  }
  return all;
}

absl::StatusOr<Inventory> inventory_of(wal::FileSystem& fs, const std::string& archive) {
  absl::StatusOr<std::vector<uint64_t>> numbers = list_stretches(fs, archive);
  if (!numbers.ok()) return numbers.status();
  Inventory found;
  for (const uint64_t number : *numbers) {
    absl::StatusOr<StoredStretch> stretch = look_into(fs, archive, number);
    if (!stretch.ok()) return stretch.status();
    found.bytes += stretch->bytes;
    found.stretches.push_back(*std::move(stretch));
  }
  return found;
}

}  // namespace keelson::archive
