// What a loss of power leaves of a store in its worst moments, each tried many times.

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>
#include <vector>

#include "backend/rocks/fault_disk.h"
#include "backend/rocks/fault_files.h"
#include "backend/rocks/rocks_backend.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

constexpr char kPath[] = "/data/member/keelson";

RocksOptions on(const FaultFiles& disk) {
  RocksOptions options;
  options.files = disk.files();
  options.flush_on_close = false;
  return options;
}

void commit(Backend& store, uint64_t index) {
  WriteBatch batch;
  batch.put(Bucket::kKey, cat("key", index), "value");
  ASSERT_TRUE(store.commit(batch, Index(index), Term(1)).ok());
}

absl::Status flush(Backend& store) {
  std::promise<absl::Status> done;
  store.flush([&](absl::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

// What an open that failed half-way has made, the next one finds; it is not durable for that.
TEST(PowerLoss, NothingIsKeptInADirectoryWhoseNameCanVanish) {
  for (uint64_t step = 0; step < 12; ++step) {
    FaultFiles disk(step + 1);
    disk.fail_once_after(step);
    open_rocks_backend(kPath, on(disk)).status().IgnoreError();
    disk = disk.after_kill();
    auto store = open_rocks_backend(kPath, on(disk));
    ASSERT_TRUE(store.ok()) << store.status();
    commit(**store, 1);
    ASSERT_TRUE(flush(**store).ok());
    for (int n = 0; n < 8; ++n) {
      auto after = open_rocks_backend(kPath, on(disk.after_power_loss()));
      ASSERT_TRUE(after.ok()) << after.status();
      ASSERT_EQ((*after)->consistent_index(), Index(1)) << "failed at step " << step;
    }
  }
}

// Where the records of a manifest end, by the lengths in their heads; all in one block.
std::vector<size_t> record_ends(const std::string& manifest) {
  std::vector<size_t> ends;
  for (size_t at = 0; at + 7 <= manifest.size();) {
    at +=
        7 + (static_cast<uint8_t>(manifest[at + 4]) | static_cast<uint8_t>(manifest[at + 5]) << 8);
    ends.push_back(at);
  }
  EXPECT_EQ(ends.back(), manifest.size());
  EXPECT_LT(manifest.size(), size_t{32 << 10});
  return ends;
}

struct Torn {
  std::string name;
  std::string before;  // the manifest, all of it reported as durable
  std::string after;   // with a flush more
};

// A store of two flushes. Its disk is as if the power had failed in the midst of the second one:
// the index of the first is what was reported.
Torn interrupted(std::shared_ptr<FaultFiles::Disk>& disk) {
  FaultFiles files(disk);
  auto store = *open_rocks_backend(kPath, on(files));
  Torn torn;
  auto& directory = disk->directories[kPath];
  auto read = [&](std::string* contents) {
    for (const auto& [name, inode] : directory.now) {
      if (name.starts_with("MANIFEST-")) torn.name = name, *contents = inode->data;
    }
  };
  commit(*store, 1);
  EXPECT_TRUE(flush(*store).ok());
  read(&torn.before);
  const std::string reported = directory.now["KEELSON.durable"]->data;
  commit(*store, 2);
  EXPECT_TRUE(flush(*store).ok());
  read(&torn.after);
  disk = disk->after(false);
  disk->directories[kPath].now["KEELSON.durable"]->data = reported;
  return torn;
}

// Each byte of what was not synced may be there or not.
TEST(PowerLoss, AManifestWithHolesInItsEndOpensWithoutThem) {
  auto disk = std::make_shared<FaultFiles::Disk>(1);
  const Torn torn = interrupted(disk);
  ASSERT_TRUE(torn.after.starts_with(torn.before));
  ASSERT_GT(record_ends(torn.after).size(), record_ends(torn.before).size() + 1);
  for (size_t at = torn.before.size(); at < torn.after.size(); at += 5) {
    for (size_t length : {size_t{1}, size_t{40}, torn.after.size() - at}) {
      auto copy = disk->after(false);
      std::string& manifest = copy->directories[kPath].now[torn.name]->data;
      const size_t end = std::min(manifest.size(), at + length);
      std::fill(manifest.begin() + static_cast<long>(at), manifest.begin() + static_cast<long>(end),
                '\0');
      const bool changed = manifest != torn.after;
      auto store = open_rocks_backend(kPath, on(FaultFiles(copy)));
      ASSERT_TRUE(store.ok()) << at << "+" << length << ": " << store.status();
      ASSERT_EQ((*store)->consistent_index(), Index(changed ? 1 : 2)) << at << "+" << length;
      commit(**store, changed ? 2 : 3);
      ASSERT_TRUE(flush(**store).ok());
    }
  }
}

// Before anything was reported there is nothing to lose: a creation that was interrupted is done
// again, whatever is left of it.
TEST(PowerLoss, ACreationCutOffAnywhereIsDoneAgain) {
  auto disk = std::make_shared<FaultFiles::Disk>(1);
  ASSERT_TRUE(open_rocks_backend(kPath, on(FaultFiles(disk))).ok());
  std::string name;
  for (const auto& [file, inode] : disk->directories[kPath].now) {
    if (file.starts_with("MANIFEST-")) name = file;
  }
  const size_t size = disk->directories[kPath].now[name]->data.size();
  // The first three records were synced before CURRENT named the file; our families follow.
  const size_t head = record_ends(disk->directories[kPath].now[name]->data)[2];
  for (size_t left = head; left < size; left += 5) {
    auto copy = disk->after(false);
    copy->directories[kPath].now[name]->data.resize(left);
    auto store = open_rocks_backend(kPath, on(FaultFiles(copy)));
    ASSERT_TRUE(store.ok()) << left << ": " << store.status();
    commit(**store, 1);
    ASSERT_TRUE(flush(**store).ok());
  }
}

// Damage in what was reported is not a torn end: refused, and no file is missing afterwards.
TEST(PowerLoss, AManifestDamagedBeforeItsEndIsRefusedUntouched) {
  auto disk = std::make_shared<FaultFiles::Disk>(1);
  const Torn torn = interrupted(disk);
  for (size_t at = 0; at < torn.before.size(); at += 5) {
    auto copy = disk->after(false);
    copy->directories[kPath].now[torn.name]->data[at] ^= 0x10;
    auto names = [&] {
      std::set<std::string> tables;
      for (const auto& [name, inode] : copy->directories[kPath].now) {
        if (name.ends_with(".sst")) tables.insert(name);
      }
      return tables;
    };
    const std::set<std::string> before = names();
    auto store = open_rocks_backend(kPath, on(FaultFiles(copy)));
    ASSERT_EQ(store.status().code(), absl::StatusCode::kDataLoss) << at << ": " << store.status();
    ASSERT_EQ(names(), before) << at;
  }
}

}  // namespace
}  // namespace keelson::backend
