// Whatever became of an archive's files (torn, flipped, exchanged, lost, written by somebody who
// can make sums), a restore from them brings back what was, or says that it cannot.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "archive/restore.h"
#include "archive/test_member.h"
#include "backend/rocks/rocks_backend.h"
#include "base/crc32c.h"
#include "base/test_seeds.h"
#include "interchange/layout.h"
#include "mvcc/row_head.h"

namespace keelson::archive {
namespace {

namespace fs = std::filesystem;
using std::chrono::minutes;
using Files = std::map<std::string, std::string>;

// Two stretches of one member, with a few snapshots each.
struct Original {
  Files files;
  Record record;
  int64_t first_ms = 0, last_ms = 0;
  int64_t revision = 0;
};

Original make_original() {
  SeededRandom random(1);
  TestClock clock;
  wal::MemoryFileSystem memory;
  TestMember member(&memory, &clock, &random, {MemberId(1), ClusterId(7)});
  Archive archive(member, {.dir = kArchiveDir,
                           .member_log = kMemberLog,
                           .owner = member.owner(),
                           .snapshot_interval = minutes(10),
                           .segment_bytes = 8 << 10,
                           .fs = &memory,
                           .clock = &clock});
  Original made{.first_ms = clock.unix_ms()};
  for (int i = 0; i < 6; ++i) {
    member.work(40);
    if (i == 3) member.receive_state(5);
    for (int step = 0; step < 20; ++step) clock.advance(archive.step());
    clock.advance(minutes(11));
    for (int step = 0; step < 80; ++step) clock.advance(archive.step());
  }
  EXPECT_EQ(archive.counts().index.load(), member.applied());
  EXPECT_EQ(archive.counts().gaps.load(), 1u);
  for (const std::string& path : memory.paths()) {
    if (path.starts_with(kArchiveDir)) made.files[path] = memory.contents(path);
  }
  made.record = member.record();
  made.last_ms = clock.unix_ms();
  made.revision = member.revision();
  return made;
}

class Damaged {
 public:
  Damaged(const Original& original, uint64_t seed)
      : original_(original), random_(seed), files_(original.files) {
    dir_ = cat(testing::TempDir(), "keelson_restore_", ::getpid());
    fs::remove_all(dir_);
  }
  ~Damaged() { fs::remove_all(dir_); }

  void run() {
    for (uint64_t n = random_.below(4); n > 0; --n) damage();
    for (const auto& [path, bytes] : files_) {
      fs::create_directories(fs::path(dir_ + "/" + path).parent_path());
      std::ofstream(dir_ + "/" + path, std::ios::binary) << bytes;
    }
    const std::string archive = cat(dir_, "/", kArchiveDir);
    auto catalogue = read_catalogue(*wal::posix_file_system(), archive);
    if (catalogue.ok()) {
      for (const StretchEntry& stretch : *catalogue) {
        if (stretch.is_usable() && !stretch.times.empty()) time_text(stretch.last_time());
      }
    }
    for (int i = 0; i < 2; ++i) restore(archive, target());
  }

 private:
  // Most of what is there is log.
  std::string& some_file(std::string_view ending = "") {
    std::vector<std::string> paths;
    for (const auto& [path, bytes] : files_) {
      if (path.ends_with(ending)) paths.push_back(path);
    }
    return files_[paths.at(random_.below(paths.size()))];
  }
  std::string& some_kind_of_file() {
    constexpr std::string_view kEndings[] = {"", ".times", ".db", ".wal"};
    return some_file(kEndings[random_.below(4)]);
  }

  void damage() {
    std::string& file = some_kind_of_file();
    switch (random_.below(8)) {
      case 0:
      case 1:
        if (!file.empty())
          file[random_.below(file.size())] ^= static_cast<char>(1 + random_.below(255));
        return;
      case 2:
        file.resize(random_.below(file.size() + 1));
        return;
      case 3: {
        const size_t at = random_.below(file.size() + 1);
        const size_t end = std::min(file.size(), at + random_.below(5000));
        std::fill(file.begin() + static_cast<ptrdiff_t>(at),
                  file.begin() + static_cast<ptrdiff_t>(end), '\0');
        return;
      }
      case 4:
        file = some_kind_of_file();
        return;
      case 5:
        return take_away_or_rename();
      default:
        return invent_times();
    }
  }

  void take_away_or_rename() {
    const std::string& bytes = some_kind_of_file();
    auto it = std::find_if(files_.begin(), files_.end(),
                           [&](const auto& each) { return &each.second == &bytes; });
    const std::string path = it->first, kept = it->second;
    if (files_.size() <= 5) return;
    files_.erase(it);
    if (random_.below(2) == 0 || !path.ends_with(".db")) return;
    SnapshotName name = *parse_snapshot_name(path.substr(path.find_last_of('/') + 1));
    (random_.below(2) == 0 ? name.index.value : reinterpret_cast<uint64_t&>(name.revision)) =
        absurd() & INT64_MAX;
    files_[path.substr(0, path.find_last_of('/') + 1) + to_string(name)] = kept;
  }

  uint64_t absurd() {
    constexpr uint64_t kNumbers[] = {0,
                                     1,
                                     7,
                                     50,
                                     UINT64_MAX,
                                     INT64_MAX,
                                     INT64_MAX + uint64_t{1},
                                     uint64_t{1} << 40,
                                     UINT64_MAX - 1};
    return kNumbers[random_.below(std::size(kNumbers))];
  }

  // Records that check out, and say anything.
  void invent_times() {
    std::string& file = some_file(".times");
    const size_t records = 1 + random_.below(4);
    if (random_.below(2) == 0) file.clear();
    std::string bytes;
    for (size_t i = 0; i < records; ++i) {
      char record[40];
      for (size_t at = 0; at < 32; at += 8) store_big64(record + at, absurd());
      if (random_.below(2) == 0) {
        store_big64(record, static_cast<uint64_t>(original_.first_ms) + random_.below(9'000'000));
      }
      store_big64(record + 32, crc32c::extend(0, std::string_view(record, 32)));
      bytes.append(record, sizeof record);
    }
    file.replace(random_.below(file.size() / 40 + 1) * 40, bytes.size(), bytes);
  }

  Target target() {
    Target target;
    if (random_.below(3) > 0) {
      target.revision =
          1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(original_.revision) + 3));
      if (random_.below(8) == 0) target.revision = INT64_MAX;
    } else {
      target.unix_ms =
          original_.first_ms + static_cast<int64_t>(random_.below(
                                   static_cast<uint64_t>(original_.last_ms - original_.first_ms)));
      if (random_.below(6) == 0) target.unix_ms = static_cast<int64_t>(absurd());
    }
    if (random_.below(4) == 0) target.stretch = random_.below(3);
    return target;
  }

  void restore(const std::string& archive, const Target& target) {
    const std::string data = dir_ + "/data";
    fs::remove_all(data);
    PointRestore what{.archive = archive, .target = target};
    what.restore.name = "m";
    what.restore.data_dir = data;
    what.restore.wal_dir = interchange::member_dir(data) + "/wal";
    what.restore.initial_cluster = "m=http://127.0.0.1:2380";
    what.restore.initial_cluster_token = "t";
    absl::StatusOr<RestoredPoint> point = restore_point(what);
    EXPECT_FALSE(fs::exists(data + ".restoring"));
    if (!point.ok()) {
      EXPECT_FALSE(message_of(point.status()).empty());
      EXPECT_FALSE(fs::exists(interchange::store_dir(data)));
      return;
    }
    ++restored;
    ASSERT_TRUE(original_.record.contains(point->index.value)) << point->index;
    const Fingerprint& was = original_.record.at(point->index.value).print;
    if (target.revision) {
      EXPECT_EQ(point->revision, *target.revision);
    }
    EXPECT_EQ(point->revision, was.revision);
    auto store =
        backend::open_rocks_backend(interchange::store_dir(data), {.heads = mvcc::kHeadFormat});
    ASSERT_TRUE(store.ok()) << store.status();
    auto keys = mvcc::Store::open(store->get());
    ASSERT_TRUE(keys.ok()) << keys.status();
    const Fingerprint is = fingerprint_of(**keys, **store);
    EXPECT_EQ(is.revision, was.revision);
    EXPECT_EQ(is.compacted, was.compacted);
    EXPECT_EQ(is.hash, was.hash);
  }

  const Original& original_;
  SeededRandom random_;
  Files files_;
  std::string dir_;

 public:
  inline static int restored = 0;
};

TEST(RestoreRandom, WhatWasOrAnError) {
  log::QuietLog quiet;
  const Original original = make_original();
  for_each_seed(12, [&](uint64_t seed) { Damaged(original, seed).run(); });
  if (seeds_are_the_usual()) {
    EXPECT_GT(Damaged::restored, 3);
  }
}

}  // namespace
}  // namespace keelson::archive
